"""Adam with its moments in a subspace of the gradient of each matrix: what such optimizers share.

P (the smaller side, r) maps the gradient G of a matrix W (m, n) to R, whose moments are Adam's.
For m <= n, R = Pᵀ G is (r, n). Otherwise R = G P is (m, r), so that the smaller side is always the
one that is projected. An optimizer says where P comes from, and which update of W follows from R.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import AdamW

_GROWTH = 1.01  # gamma in arXiv 2410.01623 and arXiv 2412.05270
_SMALLEST = 1e-30  # for norms in a denominator; no norm of a gradient that counts is as small


class SubspaceAdamW(AdamW, ABC):
    """Adam in a subspace for the matrices of one group, and plain AdamW for the other groups.

    The state of a projected matrix has the int `step`, `exp_avg` and `exp_avg_sq`.
    """

    def __init__(
        self,
        projected: dict[str, Any],
        groups: list[dict[str, Any]],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        """Train the group `projected` in subspaces, and `groups` with plain AdamW.

        `projected` also has the keys `rank`, `update_projection_every` and `scale`.
        """
        super().__init__([projected, *groups], lr=lr, betas=betas, eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # nothing is re-evaluated
        for group in self.param_groups:
            if "rank" in group:
                for number, weight in enumerate(group["params"]):
                    self.step_projected(weight, number, group)
        super().step(closure)

    def step_projected(self, weight: nn.Parameter, number: int, group: dict[str, Any]) -> None:
        """Take the step, and delete the gradient so that AdamW skips this weight."""
        if weight.grad is None:
            return
        gradient, weight.grad = weight.grad.float(), None  # (m, n)
        state = self.state[weight]
        step = state.get("step", 0)
        projection = self.projection(gradient, state, group, step=step, number=number)
        state["step"] = step + 1
        self.apply(weight, self.update(gradient, projection, state, group), group)

    def apply(self, weight: nn.Parameter, update: Tensor, group: dict[str, Any]) -> None:
        """Decay the weight, and subtract the update in its scale."""
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(update, alpha=-group["lr"] * _scale(weight.shape, group))

    @abstractmethod
    def projection(
        self,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
        *,
        step: int,
        number: int,
    ) -> Tensor:
        """Return P, (m, r) if m <= n, else (n, r). `number` is the weight's place in the group."""

    @abstractmethod
    def update(
        self, gradient: Tensor, projection: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor:
        """Return what is subtracted from W, (m, n), before rate and scale. Update the moments."""


def _scale(shape: torch.Size, group: dict[str, Any]) -> float:
    """Return the scale of the updates. With `auto`, they are about as large as those of Adam.

    A column of Adam's direction in the subspace has r entries of about 1, and that of the whole
    matrix has m of them, with m the smaller side. So their norms differ by the root of m / r.
    """
    scale: float | Literal["auto"] = group["scale"]
    return (min(shape) / group["rank"]) ** 0.5 if scale == "auto" else scale


def project(gradient: Tensor, projection: Tensor) -> Tensor:
    """Return the projected gradient R: (r, n) if m <= n, else (m, r)."""
    return projection.T @ gradient if is_wide(gradient.shape) else gradient @ projection


def project_back(direction: Tensor, projection: Tensor, shape: torch.Size) -> Tensor:
    """Return the direction of the whole matrix, (m, n)."""
    return projection @ direction if is_wide(shape) else direction @ projection.T


def is_wide(shape: torch.Size) -> bool:
    return shape[0] <= shape[1]


def adam_direction(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """Update the moments and return m̂ / (√v̂ + ε). `step` already counts this gradient."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(gradient) for _ in range(2))
    beta1, beta2 = group["betas"]
    first = state["exp_avg"].lerp_(gradient, 1 - beta1)
    second = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    root = (second / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    return first / (1 - beta1 ** state["step"]) / root


def scaling_of_channels(direction: Tensor, gradient: Tensor, shape: torch.Size) -> Tensor:
    """Return how much Adam scales the norm of each channel of R.

    A channel is an index of the larger side. The result is (1, n) if m <= n, else (m, 1).
    """
    side = 0 if is_wide(shape) else 1
    scaled, plain = (
        torch.linalg.vector_norm(x, dim=side, keepdim=True) for x in (direction, gradient)
    )
    return scaled / plain.clamp_(min=_SMALLEST)


def scaling_of_all(direction: Tensor, gradient: Tensor) -> Tensor:
    """Return how much Adam scales the norm of R, ()."""
    plain = torch.linalg.vector_norm(gradient).clamp_(min=_SMALLEST)
    return torch.linalg.vector_norm(direction) / plain


def limit_growth(update: Tensor, state: dict[str, Any]) -> Tensor:
    """Scale the update down, in place, if its norm is over 1.01 times that of the step before.

    This is the norm-growth limiter of Fira (arXiv 2410.01623). The state keeps the norm, a tensor
    (), so that no device waits for it. After a norm of zero there is no limit.
    """
    norm = torch.linalg.vector_norm(update)
    if "update_norm" in state:
        before = state["update_norm"]
        limit = torch.where(before > 0, _GROWTH * before, torch.inf)
        update.mul_((limit / norm).clamp_(max=1))
        norm = torch.minimum(norm, limit)
    state["update_norm"] = norm
    return update
