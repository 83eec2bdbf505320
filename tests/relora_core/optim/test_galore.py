from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from relora_core.distributed.world import World
from relora_core.optim.galore import GaloreAdamW, singular_vectors
from tests.relora_core.optim.subspaces import ADAM, Matrix, each_shape, gradients, trained, wide


def galore(weight: nn.Parameter, **changes: Any) -> GaloreAdamW:
    group = {
        "params": [weight],
        "rank": 4,
        "update_projection_every": 3,
        "scale": 0.25,
        "weight_decay": 0.0,
    }
    return GaloreAdamW({**group, **changes}, [], **ADAM)


def algorithm_2(
    weight: Matrix, grads: list[Matrix], *, decay: float, signs_of: list[Matrix]
) -> Matrix:
    """As the paper writes it, in fp64, for m <= n: rank 4, T = 3, scale 0.25.

    The signs of singular vectors are free: they are taken from the projections in `signs_of`.
    """
    first = second = np.zeros((4, weight.shape[1]))
    projection = np.zeros((weight.shape[0], 4))
    for t, gradient in enumerate(grads):
        if t % 3 == 0:
            projection = np.linalg.svd(gradient)[0][:, :4]
            projection = projection * np.sign((projection * signs_of[t]).sum(axis=0))
        compact = projection.T @ gradient
        first = 0.9 * first + 0.1 * compact
        second = 0.95 * second + 0.05 * compact**2
        unbiased = first / (1 - 0.9 ** (t + 1)), second / (1 - 0.95 ** (t + 1))
        normalized = unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
        weight = weight * (1 - 0.01 * decay) - 0.01 * 0.25 * projection @ normalized
    return weight


@each_shape
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_algorithm_2_of_the_paper_on_the_smaller_side(
    shape: tuple[int, int], decay: float
) -> None:
    weight = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    start = wide(weight)
    optimizer, projections = galore(weight, weight_decay=decay), []
    grads = gradients(shape, 8)
    for gradient in grads:
        trained(weight, optimizer, [gradient])
        projections.append(optimizer.state[weight]["projection"].double().numpy())
    expected = algorithm_2(start, [wide(g) for g in grads], decay=decay, signs_of=projections)
    assert np.abs(wide(weight) - expected).max() < 1e-6


@each_shape
def test_with_every_direction_kept_along_the_axes_it_is_adamw(shape: tuple[int, int]) -> None:
    """Adam is the same in a basis that only swaps and flips axes; so the first gradient has one."""
    smaller = min(shape)
    axes = torch.linalg.qr(torch.randn(max(shape), smaller)).Q.T  # (smaller, larger)
    first = torch.arange(1.0, smaller + 1).flip(0).unsqueeze(1) * axes
    grads = [first if shape[0] <= shape[1] else first.T, *gradients(shape, 20)]
    one, other = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(shape))
    whole = galore(one, rank=smaller, scale=1.0, update_projection_every=100, weight_decay=0.1)
    adamw = AdamW([other], weight_decay=0.1, **ADAM)
    torch.testing.assert_close(
        trained(one, whole, grads), trained(other, adamw, grads), rtol=0, atol=1e-5
    )


@each_shape
def test_the_moments_are_small_and_the_projection_is_orthonormal(shape: tuple[int, int]) -> None:
    weight = nn.Parameter(torch.zeros(shape))
    optimizer = galore(weight)
    trained(weight, optimizer, gradients(shape, 2))
    state = optimizer.state[weight]
    expected = (4, shape[1]) if shape[0] <= shape[1] else (shape[0], 4)
    assert state["exp_avg"].shape == state["exp_avg_sq"].shape == expected
    torch.testing.assert_close(state["projection"].T @ state["projection"], torch.eye(4))
    size = sum(value.numel() for value in state.values() if isinstance(value, Tensor))
    assert size == 4 * (min(shape) + 2 * max(shape)) < 2 * weight.numel()


def test_the_projection_changes_every_so_many_steps_and_the_moments_go_on() -> None:
    weight = nn.Parameter(torch.zeros(12, 20))
    optimizer = galore(weight)
    projections = []
    for gradient in gradients((12, 20), 7):
        trained(weight, optimizer, [gradient])
        projections.append(optimizer.state[weight]["projection"].clone())
    changed = [step for step in range(1, 7) if not torch.equal(*projections[step - 1 : step + 1])]
    assert changed == [3, 6]
    assert optimizer.state[weight]["step"] == 7


def test_an_update_has_the_rank_of_the_projection_and_their_sum_has_more() -> None:
    weight = nn.Parameter(torch.zeros(12, 20))
    optimizer = galore(weight)
    grads = gradients((12, 20), 6)
    assert torch.linalg.matrix_rank(trained(weight, optimizer, grads[:3])) == 4
    assert torch.linalg.matrix_rank(trained(weight, optimizer, grads[3:])) == 8


def test_what_is_not_projected_trains_with_adamw() -> None:
    one, other, matrix = (nn.Parameter(torch.ones(8)) for _ in range(3))
    matrix = nn.Parameter(torch.zeros(12, 20))
    projected = {"params": [matrix], "rank": 4, "update_projection_every": 3, "scale": 0.25}
    optimizer = GaloreAdamW(projected, [{"params": [one], "weight_decay": 0.1}], **ADAM)
    adamw = AdamW([{"params": [other], "weight_decay": 0.1}], **ADAM, fused=True)
    grads = [torch.randn(8) for _ in range(5)]
    assert torch.equal(trained(one, optimizer, grads), trained(other, adamw, grads))
    assert not matrix.any()  # it had no gradient


class Second(World):
    """A rank that gets from the main rank what a test made."""

    made: Tensor

    def copy_from_main(self, values: Tensor) -> Tensor:
        return values.copy_(self.made)


@each_shape
@pytest.mark.parametrize("size", [1e-25, 1.0, 1e15])
def test_the_projection_has_the_first_singular_vectors_of_gradients_of_any_size(
    shape: tuple[int, int], size: float
) -> None:
    [gradient] = gradients(shape, 1)
    left, _, right = torch.linalg.svd(gradient.double(), full_matrices=False)
    expected = (left if shape[0] <= shape[1] else right.T)[:, :4]
    found = singular_vectors(gradient * size, 4).double()
    assert ((found * expected).sum(0).abs() - 1).abs().max() < 1e-4  # up to the sign of each


def test_a_rank_takes_the_projection_of_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    second = Second(rank=1, size=2, device=torch.device("cpu"))
    [gradient] = gradients((12, 20), 1)
    object.__setattr__(second, "made", singular_vectors(gradient, 4))
    monkeypatch.setattr(torch.linalg, "eigh", pytest.fail)
    assert torch.equal(singular_vectors(gradient, 4, second), second.made)
