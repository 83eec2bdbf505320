from dataclasses import replace

import pytest
import torch

from relora_core.distributed.world import SINGLE_PROCESS
from relora_core.seeds import generator_seed

REALISTIC = [1_764_000_000_000, 20260131123456, 2**63 - 1]  # milliseconds, a date, the largest


@pytest.mark.parametrize("seed", REALISTIC)
def test_a_large_seed_draws_differently_at_each_step(seed: int) -> None:
    draws = []
    for step in (0, 1, 2):
        SINGLE_PROCESS.reseed(seed, step)
        draws.append(torch.rand(1).item())
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("seed", REALISTIC)
def test_with_a_large_seed_each_rank_draws_differently(seed: int) -> None:
    draws = []
    for rank in (0, 1):
        replace(SINGLE_PROCESS, rank=rank, size=2).reseed(seed, 0)
        draws.append(torch.rand(1).item())
    assert draws[0] != draws[1]


def test_a_seed_that_torch_takes_is_left_as_it_is() -> None:
    assert [generator_seed(seed) for seed in (0, 2026, 2**64 - 1)] == [0, 2026, 2**64 - 1]
