"""GaLore (arXiv 2403.03507): AdamW with its moments in a subspace of the gradient.

For each projected matrix W (m, n) and its gradient G, algorithm 2 of the paper:

    every T steps   P = the first r singular vectors of G (equation 13)
    R = Pᵀ G        the moments are those of R, (r, n)
    W ← W - lr · scale · P m̂ / (√v̂ + ε)

This is for m <= n. Otherwise P has the right singular vectors and R = G P, (m, r), so that the
smaller side is projected (section 4.2). The moments are kept when P changes. The state of a matrix
takes mr + 2nr numbers; that of AdamW takes 2mn.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW


class GaloreAdamW(AdamW):
    """GaLore for the matrices of one group, and plain AdamW for the other groups.

    The state of a projected matrix is the int `step`, `projection`, `exp_avg` and `exp_avg_sq`.
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
        """Train the group `projected` with GaLore, and `groups` with plain AdamW.

        `projected` also has the keys `rank`, `update_projection_every` and `scale`.
        """
        super().__init__([projected, *groups], lr=lr, betas=betas, eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # nothing is re-evaluated
        for group in self.param_groups:
            if "rank" in group:
                for weight in group["params"]:
                    self._step_projected(weight, group)
        super().step(closure)

    def _step_projected(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        """Take the step, and delete the gradient so that AdamW skips this weight."""
        if weight.grad is None:
            return
        gradient, weight.grad = weight.grad.float(), None  # (m, n)
        state = self.state[weight]
        step = state.get("step", 0)
        if step % group["update_projection_every"] == 0:
            state["projection"] = _projection(gradient, group["rank"])
        state["step"] = step + 1
        direction = _adam_direction(state, _project(gradient, state["projection"]), group)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        update = _project_back(direction, state["projection"], weight.shape)  # (m, n)
        weight.add_(update, alpha=-group["lr"] * group["scale"])


def _projection(gradient: Tensor, rank: int) -> Tensor:
    """Return orthonormal singular vectors: left ones (m, r) if m <= n, else right ones (n, r)."""
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    vectors = left if _is_wide(gradient.shape) else right.T
    return vectors[:, :rank].contiguous()


def _project(gradient: Tensor, projection: Tensor) -> Tensor:
    """Return the projected gradient: (r, n) if m <= n, else (m, r)."""
    return projection.T @ gradient if _is_wide(gradient.shape) else gradient @ projection


def _project_back(direction: Tensor, projection: Tensor, shape: torch.Size) -> Tensor:
    """Return the direction of the whole matrix, (m, n)."""
    return projection @ direction if _is_wide(shape) else direction @ projection.T


def _is_wide(shape: torch.Size) -> bool:
    return shape[0] <= shape[1]


def _adam_direction(state: dict[str, Any], gradient: Tensor, group: dict[str, Any]) -> Tensor:
    """Update the moments and return m̂ / (√v̂ + ε). `step` already counts this gradient."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = (torch.zeros_like(gradient) for _ in range(2))
    beta1, beta2 = group["betas"]
    first = state["exp_avg"].lerp_(gradient, 1 - beta1)
    second = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    root = (second / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    return first / (1 - beta1 ** state["step"]) / root
