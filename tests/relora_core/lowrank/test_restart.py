from typing import get_args

import pytest
import torch
from torch.optim import AdamW

from relora_core.events import Merged, OptimizerReset, Reinitialized
from relora_core.lowrank.inject import inject, low_rank_layers, merged_state
from relora_core.lowrank.restart import merge, reinitialize, restart
from relora_core.spec import FrozenDtype, ReloraMethod, ZeroReset
from tests.relora_core.conftest import MakeModel

METHOD = ReloraMethod(rank=4, frozen_dtype="fp32", optimizer_reset=ZeroReset())
TOKENS = torch.arange(16).unsqueeze(0)


def test_a_restart_leaves_the_function_and_renews_everything_else(make_model: MakeModel) -> None:
    model = make_model()
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        model(TOKENS).logits.square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    before = model(TOKENS).logits.detach()
    first_a = [layer.lora_a.detach().clone() for _, layer in low_rank_layers(model)]

    merged, drawn, pruned = restart(model, optimizer, METHOD, step=5, number=1, seed=0)

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
    plain.load_state_dict(merged_state(model), strict=True)
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
