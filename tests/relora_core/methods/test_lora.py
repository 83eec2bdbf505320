import torch

from relora_core.lowrank.inject import low_rank_layers
from relora_core.methods.lora import Lora
from relora_core.optim.optimizers import build_optimizer
from relora_core.optim.timeline import Timeline
from relora_core.spec import LoraMethod, TrainSpec
from relora_core.state import TrainState
from tests.relora_core.conftest import MakeModel, MakeSpec

TOKENS = torch.arange(16).unsqueeze(0)


def begun(spec: TrainSpec, make_model: MakeModel) -> TrainState:
    """Switched to low rank before the first step."""
    assert isinstance(spec.method, LoraMethod)
    model = make_model()
    method = Lora(spec, spec.method, Timeline.of(spec))
    method.shape(model, None)
    state = TrainState(model, build_optimizer(model, spec.optimizer))
    method.before_step(state)
    return state


def lora(make_spec: MakeSpec) -> TrainSpec:
    method = {"name": "lora", "warm_start_steps": 0, "frozen_dtype": "fp32"}
    return make_spec(method=method, optimizer={"weight_decay": 0.5})


def test_without_a_warm_start_it_is_low_rank_from_the_first_step(
    make_spec: MakeSpec, make_model: MakeModel
) -> None:
    state = begun(lora(make_spec), make_model)
    assert state.counters.phase == "low_rank"
    state.model(TOKENS).logits.square().mean().backward()
    for _, layer in low_rank_layers(state.model):
        assert layer.lora_a.any()
        assert layer.lora_b.grad is not None
        assert layer.lora_b.grad.any()


def test_weight_decay_acts_on_the_factors_and_embeddings_and_never_on_w(
    make_spec: MakeSpec, make_model: MakeModel
) -> None:
    state = begun(lora(make_spec), make_model)
    for parameter in state.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)  # so that a step is the decay alone
    before = {name: p.detach().clone() for name, p in state.model.named_parameters()}
    state.optimizer.step()
    changed = {n for n, p in state.model.named_parameters() if not torch.equal(p, before[n])}
    assert {name.rpartition(".")[2] for name in changed if ".layers." in name} == {"lora_a"}
    assert {"model.embed_tokens.weight", "lm_head.weight"} <= changed
    assert not any("norm" in name for name in changed)
