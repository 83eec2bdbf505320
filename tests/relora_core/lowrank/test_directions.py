import math

import pytest
import torch
from torch import Tensor, nn

from relora_core.lowrank.cycle import kept_directions
from relora_core.lowrank.directions import Directions, compare, directions_of, with_directions
from relora_core.lowrank.linear import LowRankLinear
from relora_core.spec import LoraMethod

D_OUT, D_IN, RANK = 6, 8, 2


def axes(*numbers: int, d_in: int = D_IN) -> Tensor:
    """Unit vectors along these inputs, (m, d_in)."""
    return torch.eye(d_in)[list(numbers)]


def update(rows: Tensor, *sizes: float) -> Directions:
    """An update whose row space is that of orthonormal rows, with these singular values."""
    return Directions(rows.double(), torch.diag(torch.tensor(sizes, dtype=torch.float64) ** 2))


def layer(a: Tensor, b: Tensor) -> LowRankLinear:
    made = LowRankLinear(
        torch.zeros(len(b), a.shape[1]),
        None,
        LoraMethod(rank=len(a), frozen_dtype="fp32"),
        transposed=False,
    )
    made.lora_a, made.lora_b = nn.Parameter(a), nn.Parameter(b)
    return made


def test_the_directions_of_a_layer_span_the_rows_of_its_update() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(RANK, D_IN, generator=generator)
    b = torch.randn(D_OUT, RANK, generator=generator)
    found = directions_of(layer(a, b))
    product = (b @ a).double()
    assert torch.allclose(found.rows @ found.rows.T, torch.eye(RANK, dtype=torch.float64))
    assert torch.allclose(product @ found.rows.T @ found.rows, product, atol=1e-5)
    assert float(found.energy.trace()) == pytest.approx(float(product.square().sum()), rel=1e-5)


def test_directions_that_share_nothing_are_at_a_right_angle() -> None:
    found = compare(update(axes(0, 1), 1, 1), axes(2, 3, 4))
    assert found.angle == pytest.approx(90)
    assert found.share == 0
    assert found.by_chance == 3 / D_IN


def test_directions_inside_the_span_are_at_an_angle_of_zero() -> None:
    found = compare(update(axes(0, 1), 3, 1), axes(0, 1, 2))
    assert found.angle == pytest.approx(0, abs=1e-5)
    assert found.share == pytest.approx(1)


def test_the_angle_follows_from_the_mean_squared_cosine_of_the_principal_angles() -> None:
    tilted = torch.zeros(2, D_IN)
    tilted[0, 0], tilted[0, 5] = math.cos(math.radians(60)), math.sin(math.radians(60))
    tilted[1, 1] = 1
    found = compare(update(tilted, 1, 1), axes(0, 1))
    assert found.angle == pytest.approx(math.degrees(math.acos(math.sqrt((0.25 + 1) / 2))))


def test_the_share_weighs_directions_by_what_the_update_does_in_them() -> None:
    assert compare(update(axes(0, 1), 3, 1), axes(0)).share == pytest.approx(0.9)
    assert compare(update(axes(0, 1), 1, 3), axes(0)).share == pytest.approx(0.1)


def test_a_direction_that_came_twice_counts_once_in_the_span() -> None:
    found = compare(update(axes(0, 1), 1, 1), axes(0, 0, 3))
    assert found.share == pytest.approx(0.5)
    assert found.by_chance == 2 / D_IN


def test_an_update_of_zero_shares_nothing() -> None:
    assert compare(update(axes(0, 1), 0, 0), axes(0)).share == 0


def test_random_directions_lie_as_chance_says() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [
        torch.linalg.qr(torch.randn(400, 40, generator=generator).double())[0].T for _ in range(2)
    ]
    found = compare(update(drawn[0], *[1.0] * 40), drawn[1].float())
    assert math.cos(math.radians(found.angle)) ** 2 == pytest.approx(found.by_chance, rel=0.1)


@pytest.mark.parametrize(
    ("rank", "d_in", "kept"), [(4, 64, 32), (16, 64, 32), (24, 64, 24), (64, 64, 64), (3, 64, 30)]
)
def test_the_last_cycles_are_kept_that_fill_half_of_the_dimensions(
    rank: int, d_in: int, kept: int
) -> None:
    assert kept_directions(rank, d_in) == kept
    directions: Tensor | None = None
    for number in range(20):
        rows = torch.full((rank, d_in), float(number), dtype=torch.float64)
        directions = with_directions(directions, Directions(rows, torch.eye(rank)))
    assert directions is not None
    assert (len(directions), directions.dtype) == (kept, torch.float32)
    assert directions[:, 0].unique().tolist() == list(range(20 - kept // rank, 20))
