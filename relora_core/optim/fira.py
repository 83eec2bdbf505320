"""Fira (arXiv 2410.01623): GaLore, and the rest of the gradient scaled as Adam scales its part.

For each projected matrix W (m, n) and its gradient G, with P, R and the moments of GaLore
(`relora_core.optim.galore`), the paper's sections 4.1 and 4.2, for m <= n:

    D = m̂ / (√v̂ + ε)             (r, n)
    φ_j = ‖D_j‖ / ‖R_j‖           for each column j
    W ← W - lr · scale · (P D + limited((G - P R) diag(φ)))

`limited` is the norm-growth limiter (`limit_growth`). For m > n it is the same on the transposed
matrices. The state of a matrix takes mr + 2nr numbers, like that of GaLore.
"""

from typing import Any

from torch import Tensor

from relora_core.optim.galore import GaloreAdamW
from relora_core.optim.subspace import (
    adam_direction,
    limit_growth,
    project,
    project_back,
    scaling_of_channels,
)


class FiraAdamW(GaloreAdamW):
    """Fira for the matrices of one group. Their state also has `update_norm`."""

    def update(
        self, gradient: Tensor, projection: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> Tensor:
        shape, projected = gradient.shape, project(gradient, projection)
        direction = adam_direction(state, projected, group)
        rest = gradient - project_back(projected, projection, shape)
        rest.mul_(scaling_of_channels(direction, projected, shape))
        return project_back(direction, projection, shape).add_(limit_growth(rest, state))
