"""Compared with algorithm 1 of the paper in fp64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from relora_core.optim.apollo import ApolloAdamW
from tests.relora_core.optim.subspaces import ADAM, Matrix, each_shape, gradients, trained, wide


def apollo(weight: nn.Parameter, **changes: Any) -> ApolloAdamW:
    group = {
        "params": [weight],
        "rank": 4,
        "update_projection_every": 3,
        "scale": 0.5,
        "weight_decay": 0.0,
        "granularity": "channel",
        "seed": 0,
    }
    return ApolloAdamW({**group, **changes}, [], **ADAM)


def algorithm_1(
    weight: Matrix, grads: list[Matrix], projections: list[Matrix], *, decay: float, by: str
) -> Matrix:
    """As the paper writes it, for m <= n: scale 0.5, and the norm-growth limiter of 1.01."""
    first = second = np.zeros((projections[0].shape[1], weight.shape[1]))
    norm = np.inf
    for t, (gradient, projection) in enumerate(zip(grads, projections, strict=True)):
        compact = projection.T @ gradient
        first = 0.9 * first + 0.1 * compact
        second = 0.95 * second + 0.05 * compact**2
        unbiased = first / (1 - 0.9 ** (t + 1)), second / (1 - 0.95 ** (t + 1))
        scaled = unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        axis = 0 if by == "channel" else None
        factors = np.sqrt((scaled**2).sum(axis)) / np.sqrt((compact**2).sum(axis))
        update = gradient * factors
        update = update * min(1.0, 1.01 * norm / np.sqrt((update**2).sum()))
        norm = np.sqrt((update**2).sum())
        weight = weight * (1 - 0.01 * decay) - 0.01 * 0.5 * update
    return weight


@each_shape
@pytest.mark.parametrize(("by", "rank"), [("channel", 4), ("tensor", 4), ("tensor", 1)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_algorithm_1_of_the_paper_with_the_limiter(
    shape: tuple[int, int], by: str, rank: int, decay: float
) -> None:
    weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    start, grads = wide(weight), gradients(shape, 8)
    optimizer = apollo(weight, weight_decay=decay, granularity=by, rank=rank)
    trained(weight, optimizer, grads)
    projections = [wide_projection(optimizer, weight, step) for step in range(8)]
    expected = algorithm_1(start, [wide(g) for g in grads], projections, decay=decay, by=by)
    assert np.abs(wide(weight) - expected).max() < 5e-6


def wide_projection(optimizer: ApolloAdamW, weight: nn.Parameter, step: int) -> Matrix:
    [group] = optimizer.param_groups
    drawn = optimizer.projection(weight, {}, group, step=step, number=0)
    copied: Matrix = drawn.double().numpy()
    return copied


def test_a_projection_lasts_so_many_steps_and_each_weight_and_seed_has_its_own() -> None:
    weight = torch.zeros(300, 400)

    def drawn(step: int, number: int, seed: int) -> Tensor:
        optimizer = apollo(nn.Parameter(weight), rank=200, seed=seed)
        [group] = optimizer.param_groups
        return optimizer.projection(weight, {}, group, step=step, number=number)

    first = drawn(0, 0, 0)
    assert torch.equal(drawn(2, 0, 0), first)
    others = [drawn(3, 0, 0), drawn(0, 1, 0), drawn(0, 0, 1)]
    assert not any(torch.equal(other, first) for other in others)
    assert first.shape == (300, 200)
    assert first.square().mean() == pytest.approx(1 / 200, rel=0.02)
    assert first.mean() == pytest.approx(0, abs=1e-3)


@each_shape
def test_the_state_has_two_small_moments_and_no_projection(shape: tuple[int, int]) -> None:
    weight = nn.Parameter(torch.zeros(shape))
    optimizer = apollo(weight)
    trained(weight, optimizer, gradients(shape, 2))
    state = optimizer.state[weight]
    assert state.keys() == {"step", "exp_avg", "exp_avg_sq", "update_norm"}
    expected = (4, shape[1]) if shape[0] <= shape[1] else (shape[0], 4)
    assert state["exp_avg"].shape == state["exp_avg_sq"].shape == expected


def test_an_update_has_full_rank() -> None:
    weight = nn.Parameter(torch.zeros(12, 20))
    optimizer = apollo(weight)
    assert torch.linalg.matrix_rank(trained(weight, optimizer, gradients((12, 20), 1))) == 12


def test_a_gradient_of_zero_moves_nothing_and_does_not_stop_later_steps() -> None:
    weight = nn.Parameter(torch.zeros(12, 20))
    optimizer = apollo(weight)
    assert not trained(weight, optimizer, [torch.zeros(12, 20)]).any()
    moved = trained(weight, optimizer, gradients((12, 20), 1))
    assert moved.isfinite().all()
    assert moved.any()


def test_an_update_grows_by_a_hundredth_at_most() -> None:
    weight = nn.Parameter(torch.zeros(12, 20))
    optimizer = apollo(weight)
    gradient, sizes = torch.ones(12, 20), []
    for sign in (1, -1, 1):  # the second direction of Adam is small, for its moments cancel
        before = weight.detach().clone()
        sizes.append((trained(weight, optimizer, [sign * gradient]) - before).norm().item())
    assert sizes[1] < 0.1 * sizes[0]
    assert sizes[2] == pytest.approx(1.01 * sizes[1], rel=1e-4)
