"""APOLLO (arXiv 2412.05270): scale the gradient as Adam would, by what Adam does in a subspace.

For each projected matrix W (m, n) and its gradient G, algorithm 1 of the paper, for m <= n:

    every T steps   P = new random numbers of N(0, 1 / r), (m, r)
    R = Pᵀ G        the moments are those of R, (r, n)
    s_j = ‖(m̂ / (√v̂ + ε))_j‖ / ‖R_j‖       for each channel j, a column; or one s for all of R
    W ← W - lr · scale · limited(G diag(s))

`limited` is the norm-growth limiter (section 4.3 there; `limit_growth`). For m > n it is the same
on the transposed matrices. P is drawn anew in each step, from a seed, so it takes no memory. The
state of a matrix takes 2nr numbers. With rank 1 and one s for all, this is APOLLO-Mini.
"""

from typing import Any

import torch
from torch import Tensor

from relora_core.optim.subspace import (
    SubspaceAdamW,
    adam_direction,
    limit_growth,
    project,
    scaling_of_all,
    scaling_of_channels,
)
from relora_core.seeds import generator_seed


class ApolloAdamW(SubspaceAdamW):
    """APOLLO for the matrices of one group.

    The group also has the keys `seed` and `granularity`, `channel` or `tensor`. The state of its
    matrices also has `update_norm`.
    """

    def projection(
        self,
        gradient: Tensor,
        state: dict[str, Any],  # noqa: ARG002 # a seed is all that P needs
        group: dict[str, Any],
        *,
        step: int,
        number: int,
    ) -> Tensor:
        draw = group["seed"] * 1_000_003 + step // group["update_projection_every"]
        generator = torch.Generator(gradient.device)
        generator.manual_seed(generator_seed(draw * 100_003 + number))
        rank, device = group["rank"], gradient.device
        drawn = torch.randn(min(gradient.shape), rank, generator=generator, device=device)
        return drawn / rank**0.5

    def update(
        self, gradient: Tensor, projection: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor:
        projected = project(gradient, projection)
        direction = adam_direction(state, projected, group)
        if group["granularity"] == "channel":
            scaling = scaling_of_channels(direction, projected, gradient.shape)
        else:
            scaling = scaling_of_all(direction, projected)
        return limit_growth(gradient * scaling, state)
