"""What a step found. The device computes it, and the host goes on without waiting for it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StepResult:
    step: int  # how many steps were taken with this one
    loss: float  # mean over the global batch, before the update
    grad_norm: float  # before clipping
    asked_to_stop: bool  # on any rank, before this step

    @property
    def taken(self) -> bool:
        """False: loss or gradient was not finite and the weights are as before."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


class PendingResult:
    """The result of a step on its way to the host, which may read it once more steps are begun."""

    def __init__(self, step: int, numbers: Tensor) -> None:
        """`numbers` are loss, gradient norm and whether a rank was asked to stop, fp64 (3,)."""
        self._step = step
        # from a GPU into pinned memory, behind what is queued there; the event tells when
        self._numbers = numbers.to("cpu", non_blocking=True)
        self._copied = torch.cuda.Event(blocking=True) if numbers.is_cuda else None
        if self._copied is not None:
            self._copied.record()

    def read(self) -> StepResult:
        """Wait until the device has come to it."""
        if self._copied is not None:
            self._copied.synchronize()
        loss, grad_norm, asked_to_stop = self._numbers.tolist()
        return StepResult(self._step, loss, grad_norm, asked_to_stop > 0)
