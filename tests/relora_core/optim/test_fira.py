"""Compared with the paper's formulas in fp64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from relora_core.optim.fira import FiraAdamW
from tests.relora_core.optim.subspaces import ADAM, Matrix, each_shape, gradients, trained, wide


def fira(weight: nn.Parameter, **changes: Any) -> FiraAdamW:
    group = {
        "params": [weight],
        "rank": 4,
        "update_projection_every": 3,
        "scale": 0.5,
        "weight_decay": 0.0,
    }
    return FiraAdamW({**group, **changes}, [], **ADAM)


def by_the_paper(
    weight: Matrix, grads: list[Matrix], projections: list[Matrix], *, decay: float
) -> Matrix:
    """For m <= n: scale 0.5, norm-based scaling by columns, norm-growth limiter of 1.01."""
    first = second = np.zeros((projections[0].shape[1], weight.shape[1]))
    norm = np.inf
    for t, (gradient, projection) in enumerate(zip(grads, projections, strict=True)):
        compact = projection.T @ gradient
        first = 0.9 * first + 0.1 * compact
        second = 0.95 * second + 0.05 * compact**2
        unbiased = first / (1 - 0.9 ** (t + 1)), second / (1 - 0.95 ** (t + 1))
        adam = unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        outside = gradient - projection @ projection.T @ gradient
        outside = outside * np.linalg.norm(adam, axis=0) / np.linalg.norm(compact, axis=0)
        outside = outside * min(1.0, 1.01 * norm / np.linalg.norm(outside))
        norm = float(np.linalg.norm(outside))
        weight = weight * (1 - 0.01 * decay) - 0.01 * 0.5 * (projection @ adam + outside)
    return weight


@each_shape
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_what_the_paper_writes_on_the_smaller_side(
    shape: tuple[int, int], decay: float
) -> None:
    weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    start = wide(weight)
    optimizer, projections = fira(weight, weight_decay=decay), []
    grads = gradients(shape, 8)
    for gradient in grads:
        trained(weight, optimizer, [gradient])
        projections.append(optimizer.state[weight]["projection"].double().numpy())
    expected = by_the_paper(start, [wide(g) for g in grads], projections, decay=decay)
    assert np.abs(wide(weight) - expected).max() < 5e-6


def test_an_update_has_full_rank_and_its_part_in_the_subspace_is_that_of_galore() -> None:
    weight = nn.Parameter(torch.zeros(12, 20))
    optimizer = fira(weight)
    update = trained(weight, optimizer, gradients((12, 20), 1))
    assert torch.linalg.matrix_rank(update) == 12
    projection: Tensor = optimizer.state[weight]["projection"]
    # the first direction of Adam is the sign of the gradient
    expected = -0.01 * 0.5 * (projection.T @ gradients((12, 20), 1)[0]).sign()
    torch.testing.assert_close(projection.T @ update, expected, rtol=0, atol=1e-6)
