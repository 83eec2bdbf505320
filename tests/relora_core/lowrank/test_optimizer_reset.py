import math

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.optim import AdamW

from relora_core.lowrank.optimizer_reset import reset_optimizer_state
from relora_core.spec import MagnitudeReset, OptimizerReset, RandomReset, ZeroReset

MODES: list[OptimizerReset] = [
    MagnitudeReset(ratio=0.9),
    MagnitudeReset(ratio=0.99),
    RandomReset(ratio=0.9),
    ZeroReset(),
]


def trained(betas: tuple[float, float] = (0.9, 0.95), size: int = 4000) -> tuple[Tensor, AdamW]:
    """A parameter after 300 steps on gradients with a mean and noise."""
    parameter = nn.Parameter(torch.zeros(size))
    optimizer = AdamW([parameter], lr=1e-3, betas=betas, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(size, generator=generator)
    for _ in range(300):
        parameter.grad = mean + torch.randn(size, generator=generator)
        optimizer.step()
    return parameter, optimizer


def reset(parameter: Tensor, optimizer: AdamW, mode: OptimizerReset, seed: int = 0) -> float:
    return reset_optimizer_state(
        optimizer, [parameter], mode, generator=Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.9, 0.999)])
def test_no_update_after_a_restart_is_much_over_the_learning_rate(
    mode: OptimizerReset, betas: tuple[float, float]
) -> None:
    parameter, optimizer = trained(betas)
    reset(parameter, optimizer, mode)
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(parameter.shape, generator=generator)
    largest = 0.0
    for _ in range(200):
        before = parameter.detach().clone()
        parameter.grad = mean + torch.randn(parameter.shape, generator=generator)
        optimizer.step()
        largest = max(largest, float((parameter.detach() - before).abs().max()) / 1e-3)
    assert largest < 2.0


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_first_moment_never_stands_beside_a_cleared_second(mode: OptimizerReset) -> None:
    parameter, optimizer = trained()
    reset(parameter, optimizer, mode)
    state = optimizer.state[parameter]
    assert torch.equal(state["exp_avg"] != 0, state["exp_avg_sq"] != 0)


def test_zero_clears_both_moments_and_the_step_count() -> None:
    parameter, optimizer = trained()
    assert reset(parameter, optimizer, ZeroReset()) == 0.0
    state = optimizer.state[parameter]
    assert not state["exp_avg"].any()
    assert not state["exp_avg_sq"].any()
    assert not state["step"]


def test_magnitude_keeps_the_largest_first_moments() -> None:
    parameter, optimizer = trained()
    before = optimizer.state[parameter]["exp_avg"].abs()
    kept = reset(parameter, optimizer, MagnitudeReset(ratio=0.9))
    survived = optimizer.state[parameter]["exp_avg"] != 0
    assert kept == pytest.approx(0.1)
    assert int(survived.sum()) == 400
    assert before[survived].min() >= before[~survived].max()


def test_magnitude_cuts_ties_exactly() -> None:
    parameter, optimizer = trained(size=1000)
    optimizer.state[parameter]["exp_avg"].fill_(0.5)
    assert reset(parameter, optimizer, MagnitudeReset(ratio=0.75)) == 0.25


def test_survivors_count_as_one_observation() -> None:
    parameter, optimizer = trained(betas=(0.9, 0.95))
    state = optimizer.state[parameter]
    moment = state["exp_avg"].clone() / (1 - 0.9**300)
    square = state["exp_avg_sq"].clone() / (1 - 0.95**300)
    reset(parameter, optimizer, MagnitudeReset(ratio=0.9))
    survived = state["exp_avg"] != 0
    assert state["step"] == 1
    assert torch.allclose(state["exp_avg"][survived], 0.1 * moment[survived])
    assert torch.allclose(state["exp_avg_sq"][survived], 0.05 * square[survived])


def test_random_keeps_its_share_and_the_same_one_on_every_rank() -> None:
    masks = []
    for seed in (7, 7, 8):
        parameter, optimizer = trained()
        kept = reset(parameter, optimizer, RandomReset(ratio=0.9), seed=seed)
        assert math.isclose(kept, 0.1, abs_tol=0.02)
        masks.append(optimizer.state[parameter]["exp_avg"] != 0)
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_a_tensor_over_16m_elements_is_pruned() -> None:
    parameter = nn.Parameter(torch.zeros(17 * 2**20))
    optimizer = AdamW([parameter], lr=1e-3)
    parameter.grad = torch.arange(parameter.numel(), dtype=torch.float32)
    optimizer.step()
    assert reset(parameter, optimizer, MagnitudeReset(ratio=0.9)) == pytest.approx(0.1)


def test_other_parameters_keep_their_state() -> None:
    norm, factor = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    optimizer = AdamW([norm, factor], lr=1e-3)
    norm.grad = factor.grad = torch.ones(4)
    optimizer.step()
    before = {key: value.clone() for key, value in optimizer.state[norm].items()}
    reset_optimizer_state(optimizer, [factor], ZeroReset(), generator=Generator())
    assert all(torch.equal(optimizer.state[norm][key], value) for key, value in before.items())
