import math
from typing import get_args

import pytest
import torch

from relora_core.events import Merged, OptimizerReset, Reinitialized
from relora_core.lowrank.inject import inject, low_rank_layers, merged_tensors
from relora_core.lowrank.restart import NewFactors, merge, reinitialize, restart
from relora_core.spec import (
    FactorInit,
    FrozenDtype,
    KeepReset,
    ReloraMethod,
    RotateReset,
    ZeroReset,
)
from tests.relora_core.conftest import MakeModel
from tests.relora_core.lowrank.cycles import begun

METHOD = ReloraMethod(rank=4, frozen_dtype="fp32", optimizer_reset=ZeroReset())
TOKENS = torch.arange(16).unsqueeze(0)


def test_a_restart_leaves_the_function_and_renews_everything_else(make_model: MakeModel) -> None:
    model, optimizer = begun(make_model, METHOD, TOKENS)
    before = model(TOKENS).logits.detach()
    first_a = [layer.lora_a.detach().clone() for _, layer in low_rank_layers(model)]

    merged, drawn, pruned = restart(model, optimizer, METHOD, step=5, number=1, new=NewFactors(0))

    assert torch.allclose(model(TOKENS).logits, before, atol=1e-5)
    for (_, layer), a in zip(low_rank_layers(model), first_a, strict=True):
        assert not layer.lora_b.any()
        assert not torch.equal(layer.lora_a, a)
        assert not optimizer.state[layer.lora_a]["exp_avg"].any()
    assert isinstance(merged, Merged)
    assert merged.layers == 14
    assert merged.update_norm > 0
    assert isinstance(drawn, Reinitialized)
    assert drawn.restart == 1
    assert isinstance(pruned, OptimizerReset)
    assert pruned.kept == 0.0


@pytest.mark.parametrize("factor_init", ["orthogonal", "gradient"])
def test_orthogonal_factors_start_with_other_orthonormal_rows_in_each_cycle(
    factor_init: FactorInit, make_model: MakeModel
) -> None:
    method = METHOD.model_copy(update={"factor_init": factor_init})
    model, optimizer = begun(make_model, method, TOKENS)
    first_a = [layer.lora_a.detach().clone() for _, layer in low_rank_layers(model)]
    restart(model, optimizer, method, step=5, number=1, new=NewFactors(0))
    for (_, layer), a in zip(low_rank_layers(model), first_a, strict=True):
        identity = layer.lora_a.detach() @ layer.lora_a.detach().T
        torch.testing.assert_close(identity, torch.eye(4), rtol=0, atol=1e-6)
        assert not torch.equal(layer.lora_a, a)


def test_an_a_that_is_not_trained_has_no_gradient_no_state_and_no_step(
    make_model: MakeModel,
) -> None:
    method = METHOD.model_copy(update={"train_a": False})
    model, optimizer = begun(make_model, method, TOKENS)
    fresh = make_model()
    inject(fresh, method)
    reinitialize(fresh, step=0, restart=0, seed=0)
    for (_, layer), (_, untouched) in zip(
        low_rank_layers(model), low_rank_layers(fresh), strict=True
    ):
        assert torch.equal(layer.lora_a, untouched.lora_a)
        assert layer.lora_a not in optimizer.state
        assert layer.lora_b.any()
    *_, cleared = restart(model, optimizer, method, step=5, number=1, new=NewFactors(0))
    assert isinstance(cleared, OptimizerReset)
    assert cleared.kept == 0.0


def test_keep_leaves_the_state_of_the_factors_as_it_is(make_model: MakeModel) -> None:
    method = METHOD.model_copy(update={"optimizer_reset": KeepReset()})
    model, optimizer = begun(make_model, method, TOKENS)
    before = {p: {k: v.clone() for k, v in s.items()} for p, s in optimizer.state.items()}
    *_, kept = restart(model, optimizer, method, step=5, number=1, new=NewFactors(0))
    assert isinstance(kept, OptimizerReset)
    assert (kept.mode, kept.kept) == ("keep", 1.0)
    for parameter, state in before.items():
        for key, value in state.items():
            assert torch.equal(optimizer.state[parameter][key], value)


ROTATING = METHOD.model_copy(
    update={"optimizer_reset": RotateReset(), "factor_init": "orthogonal", "train_a": False}
)


def test_rotate_moves_the_moments_with_rows_of_a_that_change_places(make_model: MakeModel) -> None:
    model, optimizer = begun(make_model, ROTATING, TOKENS)
    layers = [layer for _, layer in low_rank_layers(model)]
    before = [optimizer.state[layer.lora_b] for layer in layers]
    moments = [(s["exp_avg"].clone(), s["exp_avg_sq"].clone()) for s in before]
    old = [layer.lora_a.detach().clone() for layer in layers]

    def turn() -> None:
        with torch.no_grad():
            for layer, a in zip(layers, old, strict=True):
                layer.lora_a.copy_(a[[2, 0, 3, 1]])

    *_, event = restart(model, optimizer, ROTATING, step=5, number=1, new=NewFactors(0, turn))
    assert isinstance(event, OptimizerReset)
    assert (event.mode, event.kept) == ("rotate", 1.0)
    for layer, (first, second) in zip(layers, moments, strict=True):
        state = optimizer.state[layer.lora_b]
        assert int(state["step"]) == 3
        size = float(first.abs().max())
        torch.testing.assert_close(
            state["exp_avg"], first[:, [2, 0, 3, 1]], rtol=1e-4, atol=1e-5 * size
        )
        torch.testing.assert_close(
            state["exp_avg_sq"], second[:, [2, 0, 3, 1]], rtol=1e-3, atol=1e-5 * size**2
        )


def test_rotate_follows_the_formula_for_any_new_rows(make_model: MakeModel) -> None:
    model, optimizer = begun(make_model, ROTATING, TOKENS)
    layer = dict(low_rank_layers(model))["model.layers.0.mlp.down_proj"]
    state = optimizer.state[layer.lora_b]
    correction1, correction2 = 1 - 0.9**3, 1 - 0.999**3
    m, v = state["exp_avg"].double() / correction1, state["exp_avg_sq"].double() / correction2
    old = layer.lora_a.detach().double()
    restart(model, optimizer, ROTATING, step=5, number=1, new=NewFactors(0))
    q = old @ layer.lora_a.detach().double().T
    variance = (v - m**2) @ q**2
    torch.testing.assert_close(
        state["exp_avg"].double(), correction1 * m @ q, rtol=1e-3, atol=1e-6 * float(m.abs().max())
    )
    torch.testing.assert_close(
        state["exp_avg_sq"].double(),
        correction2 * (variance + (m @ q) ** 2).abs().maximum((m @ q) ** 2 * 0.001 / 0.1),
        rtol=1e-3,
        atol=1e-5 * float(v.max()),
    )


@pytest.mark.parametrize(
    ("factor_init", "length"), [("random", 1 / math.sqrt(3)), ("orthogonal", 1.0)]
)
def test_half_keeps_the_directions_that_the_cycle_used_most_and_draws_the_rest(
    factor_init: FactorInit, length: float, make_model: MakeModel
) -> None:
    method = METHOD.model_copy(update={"reset": "half", "factor_init": factor_init})
    model, optimizer = begun(make_model, method, TOKENS)
    before = model(TOKENS).logits.detach()
    updates = [layer.update() for _, layer in low_rank_layers(model)]
    *_, cleared = restart(model, optimizer, method, step=5, number=1, new=NewFactors(0))
    assert torch.allclose(model(TOKENS).logits, before, atol=1e-5)
    assert isinstance(cleared, OptimizerReset)
    assert (cleared.mode, cleared.kept) == ("zero", 0.0)
    fresh = make_model()
    inject(fresh, method)
    reinitialize(fresh, step=5, restart=1, seed=0)
    for (_, layer), (_, drawn), update in zip(
        low_rank_layers(model), low_rank_layers(fresh), updates, strict=True
    ):
        kept, rest = layer.lora_a.detach()[:2], layer.lora_a.detach()[2:]
        right = torch.linalg.svd(update.double())[2][:2]
        overlap = (kept.double() @ right.T).abs()
        torch.testing.assert_close(overlap, length * torch.eye(2).double(), rtol=0, atol=1e-4)
        assert not layer.lora_b.any()
        if factor_init == "random":
            assert torch.equal(rest, drawn.lora_a[2:])
        else:
            identity = layer.lora_a.detach() @ layer.lora_a.detach().T
            torch.testing.assert_close(identity, torch.eye(4), rtol=0, atol=1e-6)
            assert not torch.equal(rest, drawn.lora_a[2:])  # it is orthogonal to the kept half


def test_half_of_an_odd_rank_draws_one_row_more_than_it_keeps(make_model: MakeModel) -> None:
    method = METHOD.model_copy(update={"reset": "half", "rank": 5})
    model, optimizer = begun(make_model, method, TOKENS)
    restart(model, optimizer, method, step=5, number=1, new=NewFactors(0))
    fresh = make_model()
    inject(fresh, method)
    reinitialize(fresh, step=5, restart=1, seed=0)
    for (_, layer), (_, drawn) in zip(low_rank_layers(model), low_rank_layers(fresh), strict=True):
        assert [bool(row) for row in (layer.lora_a == drawn.lora_a).all(dim=1)] == [
            False,
            False,
            True,
            True,
            True,
        ]


def test_the_rank_of_the_total_update_grows_with_each_cycle(make_model: MakeModel) -> None:
    """The claim of arXiv 2307.05695, section 2: a sum of low-rank updates has a higher rank."""
    model = make_model()
    inject(model, METHOD)
    _, layer = next(low_rank_layers(model))
    start, ranks = layer.frozen.exact().clone(), []
    for number in range(3):
        reinitialize(model, step=number, restart=number, seed=0)
        for _, each in low_rank_layers(model):
            torch.nn.init.normal_(each.lora_b)
        merge(model, step=number, restart=number)
        ranks.append(int(torch.linalg.matrix_rank(layer.frozen.exact() - start, rtol=1e-4)))
    assert ranks == [4, 8, 12]


def test_the_hash_of_the_factors_shows_that_replicas_agree(make_model: MakeModel) -> None:
    def drawn(seed: int) -> str:
        model = make_model()
        inject(model, METHOD)
        return reinitialize(model, step=0, restart=1, seed=seed).factors_hash

    assert drawn(0) == drawn(0) != drawn(1)


@pytest.mark.parametrize(
    ("frozen_dtype", "rounding"),
    [("fp32", 1e-6), ("bf16", 1e-3), ("int8", 4e-3), ("nf4", 5e-2), ("fp8", 5e-2)],
)
def test_the_export_after_fifty_restarts_is_that_of_one_fp32_model_with_the_same_updates(
    frozen_dtype: FrozenDtype, rounding: float, make_model: MakeModel
) -> None:
    """`rounding` bounds what differs in training, which computes with W as stored.

    Each update is a thousandth of W's size; the logits reach 0.48.
    """
    model, reference, plain = (make_model().eval() for _ in range(3))
    inject(model, METHOD.model_copy(update={"frozen_dtype": frozen_dtype}))
    for number in range(50):
        reinitialize(model, step=number, restart=number, seed=0)
        for name, layer in low_rank_layers(model):
            torch.nn.init.normal_(layer.lora_b, std=1e-5)
            reference.get_parameter(f"{name}.weight").data += layer.update()
        merge(model, step=number, restart=number)
    reinitialize(model, step=50, restart=50, seed=0)
    plain.load_state_dict(dict(merged_tensors(model)), strict=True)
    with torch.no_grad():
        expected = reference(TOKENS).logits
        assert torch.equal(plain(TOKENS).logits, expected)
        assert float((model(TOKENS).logits - expected).abs().max()) < rounding


@pytest.mark.parametrize("frozen_dtype", get_args(FrozenDtype))
def test_the_norms_of_a_merge_are_of_the_exact_weight_and_of_what_is_not_stored(
    frozen_dtype: FrozenDtype, make_model: MakeModel
) -> None:
    model = make_model()
    inject(model, METHOD.model_copy(update={"frozen_dtype": frozen_dtype}))
    reinitialize(model, step=0, restart=0, seed=0)
    merged = merge(model, step=1, restart=1)
    start = [p.detach() for name, p in make_model().named_parameters() if "proj" in name]
    norm = float(torch.cat([weight.flatten() for weight in start]).norm())
    assert merged.weight_norm == pytest.approx(norm)
    shares = {"fp32": 0.0, "bf16": 1.7e-3, "int8": 5.5e-3, "nf4": 8.8e-2, "fp8": 2.67e-2}
    assert merged.residual_norm / norm == pytest.approx(shares[frozen_dtype], rel=0.05)
