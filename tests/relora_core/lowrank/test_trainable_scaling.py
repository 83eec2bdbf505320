"""`trainable_scaling`: faults 1 and 2 of the released code, which end all learning, cannot be."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from relora_core.lowrank.inject import inject, low_rank_layers
from relora_core.lowrank.linear import LowRankLinear
from relora_core.lowrank.restart import NewFactors, merge, reinitialize, restart
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import AdamwOptimizer, MagnitudeReset, RandomReset, ReloraMethod, ZeroReset
from tests.relora_core.conftest import MakeModel

METHOD = ReloraMethod(rank=4, alpha=1, frozen_dtype="fp32", trainable_scaling=True)
TOKENS = torch.arange(16).unsqueeze(0)


def make_layer(**changes: Any) -> LowRankLinear:
    torch.manual_seed(0)
    plain = nn.Linear(12, 8)
    method = METHOD.model_copy(update=changes)
    layer = LowRankLinear(plain.weight, plain.bias, method, transposed=False)
    layer.reinitialize(seed=0, restart=0, name="layer")
    return layer


def gain_of(layer: LowRankLinear) -> nn.Parameter:
    assert layer.lora_gain is not None
    return layer.lora_gain


def train(layer: LowRankLinear, optimizer: AdamW, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = torch.randn(16, 12, generator=generator)
        (layer(x) - x[:, :8]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize(("alpha", "rank"), [(32.0, 128), (1.0, 3), (16.0, 16)])
def test_the_scale_starts_at_exactly_alpha_over_rank(alpha: float, rank: int) -> None:
    layer = make_layer(alpha=alpha, rank=rank)
    assert torch.equal(torch.as_tensor(layer.scale), torch.tensor([alpha / rank]))


def test_the_scale_has_a_gradient_as_soon_as_b_is_not_zero() -> None:
    layer = make_layer()
    optimizer = AdamW(layer.parameters(), lr=1e-2, weight_decay=0.0)
    x = torch.randn(16, 12)
    layer(x).square().mean().backward()
    assert layer.lora_b.grad is not None
    assert layer.lora_b.grad.any()
    assert not gain_of(layer).grad  # B is still zero
    optimizer.step()
    optimizer.zero_grad()
    layer(x).square().mean().backward()
    assert gain_of(layer).grad


def test_everything_learns_before_and_after_each_merge() -> None:
    """The released code's A, B and scale stand still: before the first merge without the trained
    scale (both factors zero), after it with one (tanh(0) = 0 beside B = 0)."""
    layer = make_layer()
    model = nn.Sequential(layer)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for number in range(1, 4):
        before = [p.detach().clone() for p in (layer.lora_a, layer.lora_b, gain_of(layer))]
        train(layer, optimizer, 10)
        after = [layer.lora_a, layer.lora_b, gain_of(layer)]
        assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        restart(model, optimizer, METHOD, step=number, number=number, new=NewFactors(0))


def test_the_merge_is_exact_whatever_the_scale_has_become() -> None:
    layer = make_layer()
    train(layer, AdamW(layer.parameters(), lr=1e-2), 20)
    assert gain_of(layer).item() != 1.0
    x = torch.randn(5, 12)
    expected = layer(x)
    assert torch.allclose(nn.functional.linear(x, layer.merged(), layer.bias), expected, atol=1e-6)
    merge(nn.Sequential(layer), step=1, restart=1)
    layer.reinitialize(seed=0, restart=1, name="layer")
    assert torch.allclose(layer(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "reset", [MagnitudeReset(ratio=0.5), RandomReset(ratio=0.01), ZeroReset()], ids=str
)
def test_a_restart_sets_the_scale_and_its_optimizer_state_back(reset: Any) -> None:
    layer = make_layer()
    model = nn.Sequential(layer)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    train(layer, optimizer, 10)
    method = METHOD.model_copy(update={"optimizer_reset": reset})
    restart(model, optimizer, method, step=10, number=1, new=NewFactors(0))
    assert torch.equal(torch.as_tensor(layer.scale), torch.tensor([0.25]))
    state = optimizer.state[gain_of(layer)]
    assert not any(state[key].any() for key in ("exp_avg", "exp_avg_sq", "step"))


def test_one_number_a_layer_is_trained_and_none_of_them_decays(make_model: MakeModel) -> None:
    model = make_model()
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    gains = [gain_of(layer) for _, layer in low_rank_layers(model)]
    assert [gain.shape for gain in gains] == [(1,)] * 14
    optimizer = build_optimizer(model, AdamwOptimizer(weight_decay=0.1))
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    assert not decayed & {id(gain) for gain in gains}


@pytest.mark.parametrize("changes", [{}, {"trainable_scaling": False}], ids=["trained", "fixed"])
def test_the_scale_is_applied_where_it_costs_least(changes: dict[str, bool]) -> None:
    """On the r dimensions between A and B, not on the d_out of the result (fault 29)."""
    layer = make_layer(**changes)
    nn.init.normal_(layer.lora_b)
    seen: list[Tensor] = []
    linear = nn.functional.linear

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is torch.Tensor.mul:
                seen.append(args[0])
            return func(*args, **(kwargs or {}))

    x = torch.randn(5, 12)
    with Spy():
        updated = layer.updated(x, None)
    assert {tuple(tensor.shape) for tensor in seen if tensor.ndim > 1} == {(5, 4)}
    assert torch.allclose(updated, 0.25 * linear(linear(x, layer.lora_a), layer.lora_b), atol=1e-6)
