"""Rolling restarts: each renews one component of every adapter, and the components take turns."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from relora_core.events import Merged, OptimizerReset, Reinitialized
from relora_core.lowrank.adam_state import AdamState
from relora_core.lowrank.inject import inject, low_rank_layers, merged_tensors
from relora_core.lowrank.linear import LowRankLinear
from relora_core.lowrank.optimizer_reset import clear_component
from relora_core.lowrank.restart import NewFactors, reinitialize, restart
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import OPTIMIZERS, FrozenDtype, ReloraMethod
from tests.relora_core.conftest import MakeModel, assert_same_weights
from tests.relora_core.lowrank.cycles import begun

TOKENS = torch.arange(32).view(2, 16)
METHOD_PAGE = Path(__file__).parents[3] / "docs/method.md"


def method_of(**options: Any) -> ReloraMethod:
    return ReloraMethod.model_validate(
        {"rank": 4, "frozen_dtype": "fp32", "reset": "rolling", **options}
    )


def factors_of(layer: LowRankLinear) -> tuple[Tensor, Tensor]:
    return layer.lora_a.detach().clone(), layer.lora_b.detach().clone()


def without(component: int, rows: Tensor) -> Tensor:
    return torch.cat([rows[:component], rows[component + 1 :]])


def test_a_restart_renews_one_component_and_leaves_the_function_and_the_others(
    make_model: MakeModel,
) -> None:
    method = method_of()
    model, optimizer = begun(make_model, method, TOKENS)
    before = model(TOKENS).logits.detach()
    layers = [layer for _, layer in low_rank_layers(model)]
    old = [factors_of(layer) for layer in layers]
    part = [layer.scale * b[:, 1:2] @ a[1:2] for layer, (a, b) in zip(layers, old, strict=True)]
    weights = [layer.frozen.exact().clone() for layer in layers]

    merged, drawn, cleared = restart(model, optimizer, method, step=5, number=2, new=NewFactors(0))

    assert torch.allclose(model(TOKENS).logits, before, atol=1e-5)
    for layer, (a, b), w, update in zip(layers, old, weights, part, strict=True):
        assert torch.equal(layer.frozen.exact(), w + update)
        assert not torch.equal(layer.lora_a[1], a[1])
        assert torch.equal(without(1, layer.lora_a), without(1, a))
        assert not layer.lora_b[:, 1].any()
        assert torch.equal(without(1, layer.lora_b.T), without(1, b.T))
    assert isinstance(merged, Merged)
    assert isinstance(drawn, Reinitialized)
    assert (merged.layers, merged.component, drawn.component) == (14, 1, 1)
    assert "merged component 1 of 14 layers" in str(merged)
    norm = math.sqrt(sum(float(update.double().square().sum()) for update in part))
    assert merged.update_norm == pytest.approx(norm, rel=1e-5)
    assert isinstance(cleared, OptimizerReset)
    assert (cleared.mode, cleared.kept) == ("zero", 0.75)


def test_the_components_take_turns(make_model: MakeModel) -> None:
    method = method_of()
    model, optimizer = begun(make_model, method, TOKENS)
    _, layer = next(low_rank_layers(model))
    renewed = []
    for number in range(1, 7):
        layer.lora_b.data.fill_(1)
        restart(model, optimizer, method, step=number, number=number, new=NewFactors(0))
        renewed += (~layer.lora_b.any(dim=0)).nonzero().flatten().tolist()
    assert renewed == [0, 1, 2, 3, 0, 1]


def test_moments_of_the_component_are_cleared_and_all_others_stay(make_model: MakeModel) -> None:
    method = method_of()
    model, optimizer = begun(make_model, method, TOKENS)
    before = {p: {k: v.clone() for k, v in s.items()} for p, s in optimizer.state.items()}
    restart(model, optimizer, method, step=5, number=3, new=NewFactors(0))
    factors = set()
    for _, layer in low_rank_layers(model):
        for factor, turned in ((layer.lora_a, False), (layer.lora_b, True)):
            factors.add(factor)
            for key in ("exp_avg", "exp_avg_sq"):
                now, was = optimizer.state[factor][key], before[factor][key]
                now, was = (now.T, was.T) if turned else (now, was)
                assert was[2].any()
                assert not now[2].any()
                assert torch.equal(without(2, now), without(2, was))
            assert int(optimizer.state[factor]["step"]) == 3  # Adam has one for the whole factor
    for parameter in before.keys() - factors:
        for key, value in before[parameter].items():
            assert torch.equal(optimizer.state[parameter][key], value)


def test_orthogonal_rows_stay_orthonormal_where_a_is_not_trained(make_model: MakeModel) -> None:
    method = method_of(factor_init="orthogonal", train_a=False)
    model, optimizer = begun(make_model, method, TOKENS)
    for number in range(1, 6):
        old = [layer.lora_a.detach().clone() for _, layer in low_rank_layers(model)]
        restart(model, optimizer, method, step=number, number=number, new=NewFactors(0))
        for (_, layer), a in zip(low_rank_layers(model), old, strict=True):
            identity = layer.lora_a @ layer.lora_a.T
            torch.testing.assert_close(identity, torch.eye(4), rtol=0, atol=1e-6)
            assert not torch.equal(layer.lora_a, a)


def test_a_new_row_is_orthogonal_to_those_that_training_has_moved(make_model: MakeModel) -> None:
    method = method_of(factor_init="orthogonal")
    model, optimizer = begun(make_model, method, TOKENS)
    restart(model, optimizer, method, step=1, number=1, new=NewFactors(0))
    for _, layer in low_rank_layers(model):
        new, *others = layer.lora_a.detach()
        assert float(new.norm()) == pytest.approx(1, abs=1e-6)
        assert float((torch.stack(others) @ new).abs().max()) < 1e-6


def test_a_trained_scale_and_its_state_stay_for_other_components_have_it(
    make_model: MakeModel,
) -> None:
    method = method_of(trainable_scaling=True)
    model, optimizer = begun(make_model, method, TOKENS)
    before = model(TOKENS).logits.detach()
    gains = [layer.lora_gain for _, layer in low_rank_layers(model)]
    values = [gain.detach().clone() for gain in gains if gain is not None]
    restart(model, optimizer, method, step=1, number=1, new=NewFactors(0))
    assert torch.allclose(model(TOKENS).logits, before, atol=1e-5)
    for gain, value in zip(gains, values, strict=True):
        assert gain is not None
        assert torch.equal(gain, value)
        assert float(value) != 1
        assert int(optimizer.state[gain]["step"]) == 3


@pytest.mark.parametrize("frozen_dtype", ["fp32", "bf16", "int8", "fp8"])
def test_after_many_restarts_w_is_the_fp32_sum_to_the_bit(
    frozen_dtype: FrozenDtype, make_model: MakeModel
) -> None:
    method = method_of(frozen_dtype=frozen_dtype)
    model = make_model()
    inject(model, method)
    reinitialize(model, step=0, restart=0, seed=0)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad])
    sums = {name: layer.frozen.exact().clone() for name, layer in low_rank_layers(model)}
    for number in range(1, 20):
        component = (number - 1) % 4
        for name, layer in low_rank_layers(model):
            nn.init.normal_(layer.lora_b, std=1e-4)
            sums[name] += layer.update(slice(component, component + 1))
        restart(model, optimizer, method, step=number, number=number, new=NewFactors(0))
    for name, layer in low_rank_layers(model):
        assert torch.equal(layer.frozen.exact(), sums[name])
        exported = dict(merged_tensors(model))[f"{name}.weight"]
        assert torch.equal(exported, sums[name] + layer.update())


def test_a_draw_depends_on_seed_restart_and_layer_alone(make_model: MakeModel) -> None:
    def drawn(number: int, seed: int) -> dict[str, Tensor]:
        method = method_of()
        model, optimizer = begun(make_model, method, TOKENS)
        restart(model, optimizer, method, step=1, number=number, new=NewFactors(seed))
        return {name: layer.lora_a[0].detach() for name, layer in low_rank_layers(model)}

    first, again, other, later = drawn(1, 0), drawn(1, 0), drawn(1, 1), drawn(5, 0)
    assert_same_weights(first, again)
    rows = [*first.values(), *other.values(), *later.values()]
    assert len({tuple(row.tolist()) for row in rows if row.numel() == 32}) == 36
    assert max(float(row.abs().max()) for row in rows if row.numel() == 32) <= 1 / math.sqrt(32)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_component_is_cleared_in_the_state_of_every_optimizer(name: str) -> None:
    spec = OPTIMIZERS[name].model_validate({"name": name})
    method = method_of(rank=64)
    layer = LowRankLinear(torch.zeros(96, 80), None, method, transposed=False)
    layer.reinitialize(seed=0, restart=0, name="layer")
    optimizer = build_optimizer(layer, spec)
    layer.lora_a.grad, layer.lora_b.grad = torch.randn(64, 80), torch.randn(96, 64)
    optimizer.step()
    assert clear_component(optimizer, [layer], 7) == pytest.approx(63 / 64)
    for factor, axis in ((layer.lora_a, 0), (layer.lora_b, 1)):
        state = AdamState(optimizer.state[factor])
        for moment in (state.first.values(), state.second.values()):
            assert not moment.select(axis, 7).any()
            assert float((moment == 0).float().mean()) == pytest.approx(1 / 64, abs=0.02)


def largest_step(beta2: float, gradients: list[float]) -> float:
    """The largest |update| / learning rate of a cleared component, after 10,000 steps of others."""
    layer = LowRankLinear(torch.zeros(1, 8), None, method_of(rank=2), transposed=False)
    optimizer = AdamW([layer.lora_b], lr=1e-3, betas=(0.9, beta2), weight_decay=0)
    layer.lora_b.grad = torch.ones(1, 2)
    optimizer.step()
    optimizer.state[layer.lora_b]["step"].fill_(10_000)
    clear_component(optimizer, [layer], 0)
    largest = 0.0
    for gradient in gradients:
        before = layer.lora_b.detach().clone()
        layer.lora_b.grad = torch.tensor([[gradient, 1.0]])
        optimizer.step()
        largest = max(largest, float((layer.lora_b.detach() - before)[0, 0].abs()) / 1e-3)
    return largest


@pytest.mark.parametrize("beta2", [0.95, 0.999])
def test_steps_of_a_cleared_component_stay_within_the_bound_of_adam(beta2: float) -> None:
    bound = math.sqrt((1 - 0.9) / (1 - beta2))
    growing = [1.5**n for n in range(60)]
    for gradients in ([1.0] * 200, growing, [0.0] * 50 + [1.0]):
        assert largest_step(beta2, gradients) < bound * 1.001


def test_the_page_has_the_largest_steps_of_a_cleared_component() -> None:
    table = "| β₂ = 0.95 | 0.999 |\n| --- | --- |\n"
    measured = [f"{largest_step(beta2, [1.0] * 200):.2f}" for beta2 in (0.95, 0.999)]
    assert f"{table}| {' | '.join(measured)} |" in METHOD_PAGE.read_text()
