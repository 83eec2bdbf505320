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
from torch import Tensor

from relora_core.optim.subspace import (
    SubspaceAdamW,
    adam_direction,
    is_wide,
    project,
    project_back,
)


class GaloreAdamW(SubspaceAdamW):
    """GaLore for the matrices of one group. Their state also has `projection`."""

    def projection(
        self,
        gradient: Tensor,
        state: dict[str, Any],
        group: dict[str, Any],
        *,
        step: int,
        number: int,  # noqa: ARG002 # P is that of the gradient alone
    ) -> Tensor:
        if step % group["update_projection_every"] == 0:
            state["projection"] = singular_vectors(gradient, group["rank"])
        projection: Tensor = state["projection"]
        return projection

    def update(
        self, gradient: Tensor, projection: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor:
        direction = adam_direction(state, project(gradient, projection), group)
        return project_back(direction, projection, gradient.shape)


def singular_vectors(gradient: Tensor, rank: int) -> Tensor:
    """Return orthonormal singular vectors: left ones (m, r) if m <= n, else right ones (n, r)."""
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    vectors = left if is_wide(gradient.shape) else right.T
    return vectors[:, :rank].contiguous()
