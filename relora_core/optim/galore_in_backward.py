"""GaLore that projects gradients as backward computes them, so that few whole ones are in memory.

The gradient of a target is projected and freed before backward goes on, and the micro-batches of a
step add up their projected gradients. This is linear, so the update is that of GaLore, but for two
things. P is of the first micro-batch of a step. And the norm that gradients are clipped by is that
of the projected ones.
"""

from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakMethod

import torch
from torch import Tensor, nn

from relora_core.optim.galore import GaloreAdamW, singular_vectors
from relora_core.optim.subspace import adam_direction, is_wide, project, project_back


class GaloreInBackward(GaloreAdamW):
    """GaLore for the matrices of one group, whose gradients are never all in memory.

    Each has a stand-in: a parameter without memory of its own, whose gradient is R.
    """

    def __init__(self, projected: dict[str, Any], *arguments: Any, **settings: Any) -> None:
        super().__init__(projected, *arguments, **settings)
        self.stand_ins: dict[nn.Parameter, nn.Parameter] = {}
        for weight in projected["params"]:
            self.stand_ins[weight] = _stand_in(weight, projected["rank"])
            weight.register_post_accumulate_grad_hook(_weakly(self._project))

    def zero_grad(self, set_to_none: bool = True) -> None:  # noqa: FBT001, FBT002 # as torch has it
        super().zero_grad(set_to_none)
        for stand_in in self.stand_ins.values():
            stand_in.grad = None

    def step_projected(self, weight: nn.Parameter, number: int, group: dict[str, Any]) -> None:  # noqa: ARG002 # P is that of the gradient alone
        gradient = self.stand_ins[weight].grad
        if gradient is None:
            return
        state = self.state[weight]
        state["step"] = state.get("step", 0) + 1
        direction = adam_direction(state, gradient, group)
        self.apply(weight, project_back(direction, state["projection"], weight.shape), group)

    @torch.no_grad()
    def _project(self, weight: nn.Parameter) -> None:
        """Add the projected gradient to that of the stand-in. The ranks choose P together."""
        assert weight.grad is not None
        gradient, weight.grad = weight.grad.float(), None  # (m, n)
        group, state, stand_in = self.param_groups[0], self.state[weight], self.stand_ins[weight]
        is_new = state.get("step", 0) % group["update_projection_every"] == 0
        if is_new and stand_in.grad is None:  # the first micro-batch of the step
            whole = self.world.mean(gradient).nan_to_num()  # a step with nan is not taken
            state["projection"] = singular_vectors(whole, group["rank"], self.world)
        projected = project(gradient, state["projection"])
        stand_in.grad = projected if stand_in.grad is None else stand_in.grad.add_(projected)


def _weakly(method: Callable[[nn.Parameter], None]) -> Callable[[nn.Parameter], None]:
    """Return a hook that does not keep the optimizer alive, and with it the weights themselves."""
    reference = WeakMethod(method)

    def hook(weight: nn.Parameter) -> None:
        if alive := reference():
            alive(weight)

    return hook


def _stand_in(weight: Tensor, rank: int) -> nn.Parameter:
    rows, columns = weight.shape
    shape = (rank, columns) if is_wide(weight.shape) else (rows, rank)
    return nn.Parameter(weight.new_zeros(()).expand(shape))


def with_gradients(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    """Yield what has the gradients of a step: stand-ins in place of their weights."""
    stand_ins = optimizer.stand_ins if isinstance(optimizer, GaloreInBackward) else {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            yield stand_ins.get(parameter, parameter)
