import copy
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from transformers import AutoModelForCausalLM, PreTrainedModel

from relora_core import ReLoRA
from relora_core.errors import ModelError
from relora_core.events import Merged, OptimizerReset, Reinitialized
from relora_core.integrations.wrapped_model import ReLoRAOptions
from relora_core.lowrank.inject import low_rank_layers
from relora_core.spec import ReloraMethod, RotateReset, ZeroReset
from tests.relora_core.conftest import TINY_LLAMA, MakeModel, assert_same_weights

TOKENS = torch.arange(32).view(2, 16)
TIED = {**TINY_LLAMA, "vocab_size": 300, "tie_word_embeddings": True}


def optimizer_of(model: nn.Module) -> Optimizer:
    return AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)


def cast_to(dtype: torch.dtype, model: PreTrainedModel) -> PreTrainedModel:
    model.to(dtype)  # type: ignore[arg-type] # transformers wraps `to` without its types
    return model


def take_steps(model: ReLoRA, optimizer: Optimizer, count: int) -> None:
    for _ in range(count):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        result: Tensor = model(TOKENS).logits
    return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fresh_one_computes_what_the_model_does(
    dtype: torch.dtype, make_model: MakeModel
) -> None:
    model = cast_to(dtype, make_model())
    expected = logits(model)
    assert torch.equal(logits(ReLoRA(model, rank=4)), expected)


def test_it_trains_factors_embeddings_norms_and_head_alone(make_model: MakeModel) -> None:
    model = ReLoRA(make_model(), rank=4)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    factors = {f"{name}.lora_{which}" for name, _ in low_rank_layers(model) for which in "ab"}
    assert len(factors) == 28
    assert {name.removeprefix("model.model.") for name in trained - factors} == {
        "embed_tokens.weight",
        "model.lm_head.weight",
        "norm.weight",
        *(
            f"layers.{layer}.{norm}_layernorm.weight"
            for layer in (0, 1)
            for norm in ("input", "post_attention")
        ),
    }


def test_it_prints_its_sizes(make_model: MakeModel) -> None:
    text = str(ReLoRA(make_model(), rank=4))
    assert text.startswith(
        "ReLoRALlamaForCausalLM(\n  rank=4, 23,712 parameters trained, 20,480 frozen"
    )
    assert "32 -> 64, rank=4, alpha / rank=8" in text
    assert "FrozenWeight(stored: (64, 32) torch.float32)" in text


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("dtype", "difference"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_the_merged_model_is_a_plain_one_that_computes_the_same(
    *, tied: bool, dtype: torch.dtype, difference: float, make_model: MakeModel, tmp_path: Path
) -> None:
    plain = make_model(**TIED) if tied else make_model()
    model = ReLoRA(cast_to(dtype, plain), rank=4)
    optimizer = optimizer_of(model)
    take_steps(model, optimizer, 3)
    model.restart(optimizer)
    take_steps(model, optimizer, 2)

    merged = model.merged()

    assert type(merged).__name__ == "LlamaForCausalLM"
    assert (logits(merged) - logits(model)).abs().max() <= difference
    merged.save_pretrained(tmp_path)
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert reloaded.dtype == dtype
    assert torch.equal(logits(reloaded), logits(merged))
    take_steps(model, optimizer, 1)  # goes on: the merged model was a copy


def test_a_restart_merges_draws_factors_anew_and_prunes_the_state(make_model: MakeModel) -> None:
    model = ReLoRA(make_model(), rank=4, optimizer_reset=ZeroReset())
    optimizer = optimizer_of(model)
    take_steps(model, optimizer, 3)
    before = logits(model)
    layers = [layer for _, layer in low_rank_layers(model)]
    drawn = [layer.lora_a.detach().clone() for layer in layers]

    merged, reinitialized, reset = model.restart(optimizer, step=3)

    assert isinstance(merged, Merged)
    assert isinstance(reinitialized, Reinitialized)
    assert isinstance(reset, OptimizerReset)
    assert merged.step == 3
    assert torch.allclose(logits(model), before, atol=1e-5)
    for layer, a in zip(layers, drawn, strict=True):
        assert not layer.lora_b.any()
        assert not torch.equal(layer.lora_a, a)
        assert not optimizer.state[layer.lora_a]["exp_avg"].any()


@pytest.mark.parametrize(
    "options",
    [{"rank": 4}, {"rank": 4, "frozen_dtype": "bf16"}, {"rank": 4, "frozen_dtype": "int8"}],
    ids=str,
)
def test_its_state_in_safetensors_goes_on_with_the_same_bits(
    options: ReLoRAOptions, make_model: MakeModel, tmp_path: Path
) -> None:
    model = ReLoRA(make_model(**TIED), **options)
    optimizer = optimizer_of(model)
    take_steps(model, optimizer, 2)
    model.restart(optimizer)
    take_steps(model, optimizer, 2)
    save_file(model.state_dict(), tmp_path / "state.safetensors")
    moments = copy.deepcopy(optimizer.state_dict())

    resumed = ReLoRA(make_model(**TIED), **options)
    resumed.load_state_dict(load_file(tmp_path / "state.safetensors"))
    its_optimizer = optimizer_of(resumed)
    its_optimizer.load_state_dict(moments)
    for each, its in ((model, optimizer), (resumed, its_optimizer)):
        each.restart(its)
        take_steps(each, its, 2)

    states = model.state_dict(), resumed.state_dict()
    assert states[0].keys() == states[1].keys()
    assert_same_weights(*states)


def test_a_state_without_what_bf16_left_out_is_incomplete(make_model: MakeModel) -> None:
    model = ReLoRA(make_model(), rank=4, frozen_dtype="bf16")
    state = model.state_dict()
    name = next(name for name in state if name.endswith("frozen.residual"))
    del state[name]
    with pytest.raises(RuntimeError, match=name.replace(".", r"\.")):
        model.load_state_dict(state)


def test_a_cast_leaves_frozen_weights_as_they_are_stored(make_model: MakeModel) -> None:
    model = ReLoRA(make_model(), rank=4, frozen_dtype="int8")
    _, layer = next(low_rank_layers(model))
    exact = layer.frozen.exact()
    model.to(torch.bfloat16)
    assert layer.lora_a.dtype == torch.bfloat16
    assert torch.equal(layer.frozen.exact(), exact)


def test_it_trains_with_gradient_checkpointing(make_model: MakeModel) -> None:
    plain, checkpointed = (ReLoRA(make_model(), rank=4).train() for _ in range(2))
    checkpointed.activation_checkpointing_enable({"use_reentrant": False})
    checkpointed.config.use_cache = False
    for model in (plain, checkpointed):
        model(input_ids=TOKENS, labels=TOKENS).loss.backward()
    for one, other in zip(plain.parameters(), checkpointed.parameters(), strict=True):
        assert (one.grad is None) is (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)  # type: ignore[arg-type]


def test_it_generates_as_the_model_does(make_model: MakeModel) -> None:
    model = make_model().eval()
    expected = model.generate(TOKENS[:, :4], max_new_tokens=4, do_sample=False)
    wrapped = ReLoRA(model, rank=4)
    assert torch.equal(wrapped.generate(TOKENS[:, :4], max_new_tokens=4, do_sample=False), expected)


def test_saving_it_saves_the_merged_model(make_model: MakeModel, tmp_path: Path) -> None:
    model = ReLoRA(make_model(), rank=4)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path)), logits(model))


def test_patterns_that_match_nothing_are_told_with_the_layers_there_are(
    make_model: MakeModel,
) -> None:
    with pytest.raises(
        ModelError, match=r"take all_linear, or some of \*\.q_proj, .*\*\.down_proj"
    ):
        ReLoRA(make_model(), rank=4, target_modules=["*.query"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor_init": "gradient"}, "no batches to compute a gradient on"),
        (
            {"reset": "half", "optimizer_reset": {"mode": "keep"}},
            "method.optimizer_reset: half clears the state of what it renews",
        ),
        ({"optimizer_reset": {"mode": "rotate"}}, "rotate needs rows of A that are orthonormal"),
        (
            {"optimizer_reset": {"mode": "rotate"}, "factor_init": "orthogonal"},
            "train_a to false",
        ),
    ],
)
def test_directions_that_a_loop_of_ones_own_cannot_have_are_refused(
    options: Any, message: str, make_model: MakeModel
) -> None:
    with pytest.raises(ModelError, match=message):
        ReLoRA(make_model(), rank=4, **options)


def test_moments_in_8_bits_are_refused_where_a_restart_would_rotate_them(
    make_model: MakeModel,
) -> None:
    model = ReLoRA(
        make_model(),
        rank=4,
        factor_init="orthogonal",
        train_a=False,
        optimizer_reset=RotateReset(),
    )
    optimizer = optimizer_of(model)
    _, layer = next(low_rank_layers(model))
    codes = torch.zeros_like(layer.lora_b, dtype=torch.uint8)
    moments = {f"state{i}": codes for i in (1, 2)}
    scales = {f"{part}{i}": torch.zeros(1) for part in ("absmax", "qmap") for i in (1, 2)}
    optimizer.state[layer.lora_b] = {"step": 1, **moments, **scales}
    with pytest.raises(ModelError, match=r"rotate needs moments in fp32.*another mode"):
        model.restart(optimizer)


def test_what_is_no_model_of_transformers_is_refused() -> None:
    with pytest.raises(ModelError, match="takes a model of transformers"):
        ReLoRA(nn.Linear(2, 2), rank=1)  # type: ignore[arg-type]


def test_an_unknown_option_is_refused(make_model: MakeModel) -> None:
    with pytest.raises(ValidationError, match="targets"):
        ReLoRA(make_model(), targets="all")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda model: AdamW(islice(model.parameters(), 1)), "make it after ReLoRA"),
        (lambda model: SGD(model.parameters()), "take torch.optim.AdamW"),
    ],
    ids=["without the factors", "without moments"],
)
def test_an_optimizer_that_a_restart_cannot_reset_is_refused_before_the_merge(
    make: Any, message: str, make_model: MakeModel
) -> None:
    model = ReLoRA(make_model(), rank=4)
    with pytest.raises(ModelError, match=message):
        model.restart(make(model))
    assert model.restarts == 0


def test_its_options_are_those_of_the_method_that_a_loop_of_ones_own_can_have() -> None:
    in_the_spec_alone = {
        *("name", "warm_start", "warm_start_steps", "warm_start_from"),
        *("reset_every", "reset_growth", "shortest_cycle", "longest_cycle"),
    }
    assert (
        ReLoRAOptions.__annotations__.keys() == ReloraMethod.model_fields.keys() - in_the_spec_alone
    )
