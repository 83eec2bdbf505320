import pytest
import torch

from relora_core.lowrank.inject import factored_layers
from relora_core.methods.lowrank import Lowrank
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import AdamwOptimizer, LowrankMethod
from relora_core.state import TrainState
from tests.relora_core.conftest import MakeModel, MakeSpec

TOKENS = torch.arange(16).unsqueeze(0)


@pytest.fixture
def state(make_model: MakeModel, make_spec: MakeSpec) -> TrainState:
    spec = make_spec(method={"name": "lowrank", "rank": 4})
    assert isinstance(spec.method, LowrankMethod)
    model = make_model()
    Lowrank(spec, spec.method).shape(model, None)
    return TrainState(model, build_optimizer(model, AdamwOptimizer()))


def test_no_full_weight_is_stored_or_trained_in_the_blocks(state: TrainState) -> None:
    layers = dict(factored_layers(state.model))
    assert len(layers) == 14
    in_blocks = {
        name.rpartition(".")[2]
        for name, _ in state.model.named_parameters()
        if ".layers." in name and "norm" not in name
    }
    assert in_blocks == {"lora_a", "lora_b"}
    assert all(p.requires_grad for p in state.model.parameters())


def test_both_factors_and_the_embeddings_have_gradients_at_the_first_step(
    state: TrainState,
) -> None:
    """The released code crashes here: its lora_only asserts that there is a weight."""
    state.model(TOKENS).logits.square().mean().backward()
    for _, layer in factored_layers(state.model):
        for factor in (layer.lora_a, layer.lora_b):
            assert factor.grad is not None
            assert factor.grad.any()


def test_the_draw_depends_on_the_seed_and_the_name_alone(
    state: TrainState, make_model: MakeModel, make_spec: MakeSpec
) -> None:
    def drawn(seed: int) -> torch.Tensor:
        spec = make_spec(method={"name": "lowrank", "rank": 4}, training={"seed": seed})
        assert isinstance(spec.method, LowrankMethod)
        model = make_model()
        Lowrank(spec, spec.method).shape(model, None)
        _, layer = next(factored_layers(model))
        return layer.lora_b

    _, first = next(factored_layers(state.model))
    assert torch.equal(drawn(0), first.lora_b)
    assert not torch.equal(drawn(1), first.lora_b)
