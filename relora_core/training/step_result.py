"""The result of a step. The device computes it, and the host does not wait for it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepResult:
    """The numbers of one optimizer step, on the host."""

    step: int  # the number of steps taken, with this one
    loss: float  # mean over the global batch, before the update
    grad_norm: float  # before clipping
    asked_to_stop: bool  # whether any rank was asked to stop before this step

    @property
    def taken(self) -> bool:
        """Whether the weights were updated: not if the loss or the gradient was not finite."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class PendingResult:
    """The result of a step on its way to the host, which can begin more steps before it reads."""

    def __init__(self, step: int, numbers: Tensor) -> None:
        """Start to copy `numbers`: loss, gradient norm, whether a rank should stop; fp64 (3,)."""
        self._step = step
        # a GPU copies into pinned memory after the work in its queue; the event marks the end
        self._numbers = numbers.to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event(blocking=True) if numbers.is_cuda else None
        if self._copied is not None:
            self._copied.record()

    def read(self) -> StepResult:
        """Wait until the device has computed the result, and return it."""
        if self._copied is not None:
            self._copied.synchronize()
        loss, grad_norm, asked_to_stop = self._numbers.tolist()
        return StepResult(self._step, loss, grad_norm, asked_to_stop > 0)
