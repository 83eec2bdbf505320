import pytest
import torch
from torch import nn

from relora_core.lowrank.inject import inject, low_rank_layers
from relora_core.lowrank.restart import reinitialize
from relora_core.lowrank.step_size import ratio_of_equal_steps
from relora_core.optim.optimizers import (
    build_optimizer,
    factor_learning_rate,
    set_learning_rate,
)
from relora_core.optim.parameter_groups import parameter_groups
from relora_core.spec import OPTIMIZERS, AdamwOptimizer, LoraMethod
from tests.relora_core.conftest import MakeModel


@pytest.fixture
def model(make_model: MakeModel) -> nn.Module:
    """A Llama in the low-rank phase, with a scale that is trained."""
    llama = make_model()
    inject(llama, LoraMethod(rank=4, frozen_dtype="fp32", trainable_scaling=True))
    reinitialize(llama, step=0, restart=0, seed=0)
    return llama


def is_factor(name: str) -> bool:
    return name.endswith((".lora_a", ".lora_b"))


def rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The learning rate of each parameter by its name."""
    of = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    return {name: of[p] for name, p in model.named_parameters() if p.requires_grad}


def test_without_a_rate_of_their_own_the_factors_are_in_the_group_of_all_matrices(
    model: nn.Module,
) -> None:
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = parameter_groups(model, AdamwOptimizer(weight_decay=0.5))
    assert [set(group) for group in groups] == 2 * [{"params", "weight_decay"}]
    matrices, others = groups
    assert matrices["params"] == [p for p in trained if p.ndim == 2]
    assert others["params"] == [p for p in trained if p.ndim == 1]
    assert (matrices["weight_decay"], others["weight_decay"]) == (0.5, 0.0)


def test_the_optimizer_without_a_factor_rate_has_one_rate_to_the_bit(model: nn.Module) -> None:
    optimizer = build_optimizer(model, AdamwOptimizer())
    set_learning_rate(optimizer, 0.1 + 0.2)
    assert set(rates(model, optimizer).values()) == {0.1 + 0.2}
    assert factor_learning_rate(optimizer, 0.5) is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_factor_rate_is_that_of_all_a_and_b_and_of_nothing_else(
    name: str, model: nn.Module
) -> None:
    spec = OPTIMIZERS[name](name=name, learning_rate=0.25, factor_learning_rate=2.0)
    optimizer = build_optimizer(model, spec)
    set_learning_rate(optimizer, 0.125)  # the schedule is at half
    assert rates(model, optimizer) == {
        name: 1.0 if is_factor(name) else 0.125
        for name, p in model.named_parameters()
        if p.requires_grad
    }
    assert factor_learning_rate(optimizer, 0.125) == 1.0


def test_the_factors_keep_their_weight_decay(model: nn.Module) -> None:
    spec = AdamwOptimizer(weight_decay=0.5, factor_learning_rate="auto")
    factors = {p for name, p in model.named_parameters() if is_factor(name)}
    for group in parameter_groups(model, spec):
        if factors & set(group["params"]):
            assert group["weight_decay"] == 0.5


def test_an_automatic_rate_is_that_of_each_layer_s_width(model: nn.Module) -> None:
    optimizer = build_optimizer(model, AdamwOptimizer(factor_learning_rate="auto"))
    set_learning_rate(optimizer, 0.5)
    found = rates(model, optimizer)
    for name, layer in low_rank_layers(model):
        expected = 0.5 * ratio_of_equal_steps(layer)
        assert (found[f"{name}.lora_a"], found[f"{name}.lora_b"]) == (expected, expected)
    assert found["model.embed_tokens.weight"] == 0.5
    widest = ratio_of_equal_steps(dict(low_rank_layers(model))["model.layers.0.mlp.down_proj"])
    assert factor_learning_rate(optimizer, 0.5) == 0.5 * widest


def test_a_full_rank_model_has_no_factors_to_give_a_rate(make_model: MakeModel) -> None:
    optimizer = build_optimizer(make_model(), AdamwOptimizer(factor_learning_rate=2.0))
    assert factor_learning_rate(optimizer, 0.5) is None
