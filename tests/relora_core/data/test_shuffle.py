import numpy as np
import pytest

from relora_core.data.shuffle import permute


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 16, 17, 64, 1000, 4097])
def test_it_is_a_permutation(size: int) -> None:
    for epoch in range(3):
        order = permute(np.arange(size), size=size, seed=7, epoch=epoch)
        assert sorted(order.tolist()) == list(range(size))


def test_the_order_follows_from_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(permute(np.arange(100), size=100, seed=seed, epoch=epoch).tolist())

    assert order(0, 0) == order(0, 0)
    assert len({order(0, 0), order(0, 1), order(1, 0), order(1, 1)}) == 4


def test_a_position_needs_no_other_to_be_mapped() -> None:
    whole = permute(np.arange(1000), size=1000, seed=3, epoch=2)
    alone = permute(np.array([17, 999]), size=1000, seed=3, epoch=2)
    assert alone.tolist() == [whole[17], whole[999]]


def test_the_order_does_not_change_between_versions() -> None:
    """A resumed run must go on in the order that it began with."""
    order = permute(np.arange(8), size=8, seed=0, epoch=0)
    assert order.tolist() == [5, 7, 6, 3, 0, 4, 1, 2]
    far = permute(np.array([10**9, 10**9 + 1]), size=10**10, seed=42, epoch=3)
    assert far.tolist() == [7175437522, 5677469807]


@pytest.mark.slow
def test_every_value_is_as_likely_at_every_position() -> None:
    size, epochs = 10, 4000
    counts = np.zeros((size, size))
    for epoch in range(epochs):
        order = permute(np.arange(size), size=size, seed=0, epoch=epoch)
        counts[np.arange(size), order] += 1
    expected = epochs / size
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 140  # 81 degrees of freedom: above it once in 20,000


def test_neighbours_are_torn_apart() -> None:
    size = 100_000
    order = permute(np.arange(size), size=size, seed=0, epoch=0)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02


def test_large_sizes_stay_in_range() -> None:
    size = 10**12 + 39
    order = permute(np.arange(1000) + size - 1000, size=size, seed=0, epoch=10**6)
    assert len(set(order.tolist())) == 1000
    assert order.min() >= 0
    assert order.max() < size
