"""The order of a mixture: exact shares at every place, found without counting from the start."""

import numpy as np
import pytest
from numpy.typing import NDArray

from relora_core.data.mixture import Interleaving, MixtureOrder, Stage

FAR = 10**9  # sequences


def some_weights(sources: int) -> NDArray[np.float64]:
    """Of very different sizes, which add up to 1."""
    return np.random.default_rng(sources).dirichlet(np.full(sources, 0.3))


def counts_at_every_place(sources: NDArray[np.intp], num_sources: int) -> NDArray[np.int64]:
    """Count by hand how many of the places before each one every source has."""
    taken = np.eye(num_sources, dtype=np.int64)[sources]
    return np.concatenate([np.zeros((1, num_sources), np.int64), taken.cumsum(0)])


@pytest.mark.parametrize("num_sources", [1, 2, 3, 8, 100])
def test_at_every_place_each_source_has_its_share_within_7_sequences(num_sources: int) -> None:
    weights, places = some_weights(num_sources), np.arange(20_000)
    sources, numbers = Interleaving(weights.tolist(), seed=(7, 0)).locate(places)
    counts = counts_at_every_place(sources, num_sources)
    assert np.abs(counts - np.arange(20_001)[:, None] * weights).max() < 7
    assert np.array_equal(numbers, counts[places, sources])  # each in order, none twice


@pytest.mark.parametrize("num_sources", [2, 8, 100])
def test_the_share_is_as_exact_far_away(num_sources: int) -> None:
    weights = some_weights(num_sources)
    order = Interleaving(weights.tolist(), seed=(7, 0))
    for place in np.random.default_rng(0).integers(0, FAR, 200).tolist():
        counts = order.counts(place)
        assert counts.sum() == place
        assert np.abs(counts - place * weights).max() < 7
        [source], [number] = order.locate(np.array([place]))
        assert number == counts[source]


def test_places_can_be_found_alone_or_together() -> None:
    order, places = Interleaving([3, 1, 0.5], seed=(0, 0)), np.arange(FAR, FAR + 50)
    together = order.locate(places)
    alone = [order.locate(places[i : i + 1]) for i in range(50)]
    for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
        assert np.array_equal(whole, np.concatenate(parts))


def test_another_seed_gives_another_order_with_the_same_shares() -> None:
    orders = [Interleaving([3, 2, 1], seed=(seed, 0)).locate(np.arange(60))[0] for seed in (0, 1)]
    assert not np.array_equal(orders[0], orders[1])
    assert np.abs(np.bincount(orders[0]) - np.bincount(orders[1])).max() <= 1


def test_a_weight_of_0_takes_no_place() -> None:
    sources, _ = Interleaving([0, 1, 0, 2, 0], seed=(0, 0)).locate(np.arange(1000))
    assert set(sources.tolist()) == {1, 3}


def test_a_later_stage_has_other_shares_and_goes_on_in_each_source() -> None:
    stages = [Stage(0, (1, 1, 0)), Stage(100, (0, 3, 1)), Stage(500, (1, 0, 0))]
    order = MixtureOrder(stages, seed=3)
    sources, numbers = order.locate(np.arange(600))
    counts = counts_at_every_place(sources, 3)
    assert counts[100].tolist() == [50, 50, 0]
    assert counts[500].tolist() == [50, 350, 100]
    assert counts[600].tolist() == [150, 350, 100]
    assert np.array_equal(numbers, counts[np.arange(600), sources])
    for place in (0, 1, 99, 100, 101, 499, 500, 501, 600):
        assert np.array_equal(order.counts(place), counts[place])
