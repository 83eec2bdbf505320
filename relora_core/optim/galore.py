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

from relora_core.distributed.world import SINGLE_PROCESS, World
from relora_core.optim.subspace import (
    SubspaceAdamW,
    adam_direction,
    is_wide,
    project,
    project_back,
)


class GaloreAdamW(SubspaceAdamW):
    """GaLore for the matrices of one group. Their state also has `projection`.

    Set `world` if several ranks train: the main rank chooses P for all.
    """

    world: World = SINGLE_PROCESS

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
            state["projection"] = singular_vectors(gradient, group["rank"], self.world)
        projection: Tensor = state["projection"]
        return projection

    def update(
        self, gradient: Tensor, projection: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor:
        direction = adam_direction(state, project(gradient, projection), group)
        return project_back(direction, projection, gradient.shape)


def singular_vectors(gradient: Tensor, rank: int, world: World = SINGLE_PROCESS) -> Tensor:
    """Return the first r singular vectors: left ones (m, r) if m <= n, else right ones (n, r).

    They are eigenvectors of G Gᵀ or Gᵀ G, whichever is smaller. This is many times faster than a
    decomposition of G on a GPU. The main rank computes them, so that all ranks have the same bits.
    """
    vectors = gradient.new_empty(min(gradient.shape), rank)
    if world.is_main:
        # fp64, because squares have twice the exponents, and half of the digits of small vectors
        wide = (gradient if is_wide(gradient.shape) else gradient.T).double()
        eigenvectors = torch.linalg.eigh(wide @ wide.T).eigenvectors  # ascending
        vectors.copy_(eigenvectors[:, -rank:].flip(1))
    return world.copy_from_main(vectors)
