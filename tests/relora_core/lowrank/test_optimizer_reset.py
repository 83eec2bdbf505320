import math
import re
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.optim import AdamW, Optimizer

from relora_core.lowrank.adam_state import AdamState
from relora_core.lowrank.linear import LowRankLinear
from relora_core.lowrank.optimizer_reset import reset_optimizer_state, rotate_state
from relora_core.optim.optimizers import build_optimizer, step_if
from relora_core.spec import (
    OPTIMIZERS,
    MagnitudeReset,
    OptimizerReset,
    RandomReset,
    ReloraMethod,
    ZeroReset,
)

METHOD_PAGE = Path(__file__).parents[3] / "docs/method.md"
LEARNING_RATE = 1e-3
MODES: list[OptimizerReset] = [
    MagnitudeReset(ratio=0.9),
    MagnitudeReset(ratio=0.99),
    RandomReset(ratio=0.9),
    ZeroReset(),
]
BETAS2 = (0.95, 0.999)

each_optimizer = pytest.mark.parametrize("name", ["adamw", "adamw_8bit"])
each_mode = pytest.mark.parametrize("mode", MODES, ids=str)
each_beta2 = pytest.mark.parametrize("beta2", BETAS2)


class Factor:
    """One matrix, its optimizer, and gradients that have a mean and noise."""

    def __init__(self, name: str = "adamw", *, beta2: float = 0.95, rows: int = 100) -> None:
        self.generator = Generator().manual_seed(0)
        layer = nn.Linear(80, rows, bias=False)  # from 4096 elements on: 8 bits
        self.parameter = layer.weight
        spec = {"name": name, "learning_rate": LEARNING_RATE, "betas": (0.9, beta2)}
        self.optimizer: Optimizer = build_optimizer(layer, OPTIMIZERS[name].model_validate(spec))
        self.mean = self.drawn()
        self.noise = self.size = 1.0

    def drawn(self) -> Tensor:
        return torch.randn(self.parameter.shape, generator=self.generator)

    def train(self, steps: int) -> Tensor:
        """Return |update| / learning rate, (steps, elements)."""
        updates = []
        for _ in range(steps):
            before = self.parameter.detach().clone()
            self.parameter.grad = self.size * (self.mean + self.noise * self.drawn())
            self.optimizer.step()
            updates.append((self.parameter.detach() - before).abs().flatten() / LEARNING_RATE)
        return torch.stack(updates)

    def reset(self, mode: OptimizerReset, seed: int = 0) -> float:
        return reset_optimizer_state(
            self.optimizer, [self.parameter], mode, generator=Generator().manual_seed(seed)
        )

    @property
    def state(self) -> AdamState:
        return AdamState(self.optimizer.state[self.parameter])


def trained(name: str = "adamw", *, beta2: float = 0.95, steps: int = 300) -> Factor:
    factor = Factor(name, beta2=beta2)
    factor.train(steps)
    factor.mean = factor.drawn()  # the factors start anew: their gradients are others
    return factor


def reset_as_released(factor: Factor, mode: OptimizerReset) -> None:
    """What the paper's code does: a mask for each moment, and Adam's step count goes on.

    Its zero is no zero, but a random pruning that keeps a thousandth of each moment.
    """
    for moment in (factor.state.first, factor.state.second):
        magnitude = moment.values().abs()
        if isinstance(mode, MagnitudeReset):
            keep = magnitude > magnitude.quantile(mode.ratio)
        else:
            ratio = mode.ratio if isinstance(mode, RandomReset) else 0.999
            keep = torch.rand(magnitude.shape, generator=factor.generator) > ratio
        moment.prune(keep, scale=1.0)


@each_optimizer
@each_mode
@each_beta2
def test_no_update_after_a_restart_is_over_the_bound_of_adam_itself(
    name: str, mode: OptimizerReset, beta2: float
) -> None:
    factor = trained(name, beta2=beta2)
    factor.reset(mode)
    largest = float(factor.train(200).max())
    assert largest < math.sqrt((1 - 0.9) / (1 - beta2)) * 1.001  # for any gradients
    assert largest < 1.6  # for these


@each_mode
@each_beta2
def test_the_bound_holds_for_gradients_that_try_to_break_it(
    mode: OptimizerReset, beta2: float
) -> None:
    bound = math.sqrt((1 - 0.9) / (1 - beta2))
    factor = Factor(beta2=beta2)
    for quiet, loud in ((1e-3, 1e3), (1e3, 1e-3), (1e-3, 1e-3)):
        factor.size = quiet
        factor.train(50)
        factor.size = loud
        factor.train(1)
        factor.reset(mode)
        factor.size = quiet
        updates = factor.train(100)
        factor.size = 1e3
        largest = max(float(updates.max()), float(factor.train(100).max()))
        assert largest < bound * 1.001


def test_the_bound_holds_after_the_rotation_that_makes_the_second_moment_of_ldadam_zero() -> None:
    """There is one if v̂ < m̂², as after ten loud gradients that follow quiet ones."""
    method = ReloraMethod(rank=2, frozen_dtype="fp32", factor_init="orthogonal", train_a=False)
    layer = LowRankLinear(torch.zeros(1, 3), None, method, transposed=False)
    old_a = torch.eye(2, 3)
    optimizer = AdamW([layer.lora_b], lr=LEARNING_RATE, betas=(0.9, 0.999), weight_decay=0)
    for size in [0.0] * 50 + [1.0] * 10:
        layer.lora_b.grad = size * torch.tensor([[1.0, -1.0]])
        optimizer.step()
    state = AdamState(optimizer.state[layer.lora_b])
    m = state.first.values()[0, 0] / (1 - 0.9**60)
    v = state.second.values()[0, 0] / (1 - 0.999**60)
    angle = math.asin(v / m**2) / 2
    q = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    layer.lora_a.data = torch.cat([q.T, torch.zeros(2, 1)], dim=1)
    rotate_state(optimizer, {layer: old_a})
    before = layer.lora_b.detach().clone()
    layer.lora_b.grad = torch.zeros(1, 2)
    optimizer.step()
    largest = float((layer.lora_b.detach() - before).abs().max()) / LEARNING_RATE
    assert 1 < largest < math.sqrt((1 - 0.9) / (1 - 0.999)) * 1.001


def documented(mode: OptimizerReset) -> dict[str, list[float]]:
    """The row of the mode in docs/method.md: for each beta2, the largest |update| / lr."""
    [row] = re.findall(rf"^\| `{mode.mode}`.*?\| (.*) \|$", METHOD_PAGE.read_text(), re.M)
    numbers = [float(cell) for cell in row.split("|")]
    return {"ours": numbers[:2], "released": numbers[2:]}


@pytest.mark.parametrize("mode", [MODES[0], *MODES[2:]], ids=str)
def test_the_released_way_overshoots_where_this_one_does_not(mode: OptimizerReset) -> None:
    largest: dict[str, list[float]] = {"ours": [], "released": []}
    for beta2 in BETAS2:
        ours, released = (trained(beta2=beta2, steps=1000) for _ in range(2))
        ours.reset(mode)
        reset_as_released(released, mode)
        largest["ours"].append(float(ours.train(200).max()))
        largest["released"].append(float(released.train(200).max()))
    assert max(largest["ours"]) < 2 < 20 < min(largest["released"])
    for way, numbers in largest.items():
        assert numbers == pytest.approx(documented(mode)[way], rel=0.1)


@pytest.mark.parametrize(("beta2", "peak_at", "peak"), [(0.95, 20, 1.10), (0.999, 12, 6.57)])
def test_cleared_moments_beside_the_old_step_count_overshoot(
    beta2: float, peak_at: int, peak: float
) -> None:
    factor = trained(beta2=beta2)
    factor.state.first.clear()
    factor.state.second.clear()
    factor.state.step = 10_000
    factor.noise = 0.0
    updates = factor.train(100).mean(dim=1)
    assert int(updates.argmax()) + 1 == peak_at
    assert float(updates.max()) == pytest.approx(peak, abs=0.01)
    factor.reset(ZeroReset())
    assert factor.train(100).max() == pytest.approx(1.0, abs=0.01)


def test_masks_of_their_own_leave_first_moments_beside_cleared_second_ones() -> None:
    factor = trained()
    reset_as_released(factor, MagnitudeReset(ratio=0.9))
    assert factor.state.first.values()[factor.state.second.values() == 0].any()


@each_optimizer
@each_mode
def test_a_first_moment_never_stands_beside_a_cleared_second(
    name: str, mode: OptimizerReset
) -> None:
    factor = trained(name)
    factor.reset(mode)
    first, second = factor.state.first.values(), factor.state.second.values()
    assert not first[second == 0].any()


@each_optimizer
@pytest.mark.parametrize("mode", MODES[:3], ids=str)
def test_both_moments_go_through_one_mask_and_count_as_one_observation(
    name: str, mode: OptimizerReset
) -> None:
    factor = trained(name)
    first, second = factor.state.first.values().clone(), factor.state.second.values().clone()
    share = factor.reset(mode)
    kept = factor.state.second.values() != 0
    assert share == float(kept.double().mean())
    assert factor.state.step == 1
    expected = 0.1 * first / (1 - 0.9**300) * kept, 0.05 * second / (1 - 0.95**300) * kept
    torch.testing.assert_close(factor.state.first.values(), expected[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(factor.state.second.values(), expected[1], rtol=1e-5, atol=0)


@each_optimizer
def test_zero_clears_both_moments_and_the_step_count_as_often_as_it_is_asked(name: str) -> None:
    factor = trained(name)
    for _ in range(2):  # the second time no step was taken in between
        assert factor.reset(ZeroReset()) == 0.0
        assert not factor.state.first.values().any()
        assert not factor.state.second.values().any()
        assert factor.state.step == 0


@each_optimizer
def test_a_zeroed_state_trains_as_a_new_one(name: str) -> None:
    factor = trained(name)
    factor.reset(ZeroReset())
    other = Factor(name)
    with torch.no_grad():
        other.parameter.copy_(factor.parameter)
    other.mean, other.generator = factor.mean, factor.generator.clone_state()
    factor.train(5)
    other.train(5)
    assert torch.equal(factor.parameter, other.parameter)


@each_optimizer
def test_magnitude_keeps_the_largest_first_moments(name: str) -> None:
    factor = trained(name)
    before = factor.state.first.values().abs().clone()
    kept = factor.reset(MagnitudeReset(ratio=0.9))
    survived = factor.state.first.values() != 0
    assert kept == pytest.approx(0.1, abs=1e-3)
    assert before[survived].min() >= before[~survived].max()


@each_optimizer
def test_magnitude_cuts_ties_exactly(name: str) -> None:
    factor = Factor(name)
    factor.parameter.grad = torch.ones_like(factor.parameter)
    factor.optimizer.step()
    assert factor.reset(MagnitudeReset(ratio=0.75)) == 0.25


def test_random_keeps_its_share_and_the_same_one_on_every_rank() -> None:
    masks = []
    for seed in (7, 7, 8):
        factor = trained()
        assert math.isclose(factor.reset(RandomReset(ratio=0.9), seed), 0.1, abs_tol=0.02)
        masks.append(factor.state.first.values() != 0)
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


@each_optimizer
def test_a_tensor_over_16m_elements_is_pruned(name: str) -> None:
    factor = Factor(name, rows=2**24 // 80 + 1)
    assert factor.parameter.numel() > 2**24  # more than `torch.quantile` takes
    factor.train(1)
    assert factor.reset(MagnitudeReset(ratio=0.9)) == pytest.approx(0.1, abs=1e-3)


def test_other_parameters_keep_their_state() -> None:
    norm, factor = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    optimizer = AdamW([norm, factor], lr=1e-3)
    norm.grad = factor.grad = torch.ones(4)
    optimizer.step()
    before = {key: value.clone() for key, value in optimizer.state[norm].items()}
    reset_optimizer_state(optimizer, [factor], ZeroReset(), generator=Generator())
    assert all(torch.equal(optimizer.state[norm][key], value) for key, value in before.items())


@each_mode
def test_a_state_that_has_only_seen_skipped_steps_stays_as_it_is(mode: OptimizerReset) -> None:
    factor = Factor()
    factor.parameter.grad = factor.drawn()
    step_if(torch.tensor(False), factor.optimizer)
    assert factor.reset(mode) == 0
    assert factor.state.step == 0
    assert factor.train(1).max() <= 1 + 1e-4  # the first step of Adam
