"""Compared with the formulas of the post and the paper in fp64."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from relora_core.lowrank.inject import inject, trained_block_weights
from relora_core.optim.muon import MuonAndAdamW
from relora_core.optim.optimizers import build_optimizer, set_learning_rate
from relora_core.spec import AdamwOptimizer, LoraMethod, MuonOptimizer
from tests.relora_core.conftest import MakeModel

SPEC = MuonOptimizer(name="muon", learning_rate=0.01, weight_decay=0.1)
TOKENS = torch.randint(0, 300, (8, 32), generator=torch.Generator().manual_seed(0))


def by_the_paper(weight: Tensor, grads: list[Tensor]) -> Tensor:
    """Nesterov momentum 0.95, five steps of Newton and Schulz, entries in the scale of Adam's."""
    weight, momentum = weight.double(), torch.zeros_like(weight, dtype=torch.float64)
    for gradient in grads:
        momentum = 0.95 * momentum + 0.05 * gradient
        x = 0.05 * gradient + 0.95 * momentum
        x = x / x.norm()
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        weight = weight * (1 - 0.01 * 0.1) - 0.01 * 0.2 * max(weight.shape) ** 0.5 * x
    return weight


def stepped(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, steps: int
) -> list[dict[str, Tensor]]:
    """Train, and return the gradients of each step by name."""
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        model(TOKENS).logits.square().mean().backward()
        named = model.named_parameters()
        seen.append({n: p.grad.double() for n, p in named if p.grad is not None})
        optimizer.step()
    return seen


def test_the_weights_of_the_blocks_take_the_steps_of_muon(make_model: MakeModel) -> None:
    model = make_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    grads = stepped(model, build_optimizer(model, SPEC), steps=3)
    matrices = [n for n, p in model.named_parameters() if ".layers." in n and p.ndim == 2]
    assert len(matrices) == 14
    weights = dict(model.named_parameters())
    for name in matrices:
        expected = by_the_paper(before[name], [of_step[name] for of_step in grads])
        moved, wanted = weights[name].detach() - before[name], expected - before[name]
        assert (moved - wanted).norm() < 0.05 * wanted.norm(), name  # the iteration is in bf16


def test_all_else_takes_the_steps_of_adamw(make_model: MakeModel) -> None:
    model, other = make_model(), make_model()
    stepped(model, build_optimizer(model, SPEC), steps=1)
    stepped(
        other,
        build_optimizer(other, AdamwOptimizer(learning_rate=0.01, weight_decay=0.1)),
        steps=1,
    )
    matrices = {id(weight) for weight in trained_block_weights(model)}
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs) == (id(mine) not in matrices)


def test_a_step_moves_a_matrix_about_as_far_as_adam_does(make_model: MakeModel) -> None:
    model = make_model()
    before = [weight.detach().clone() for weight in trained_block_weights(model)]
    stepped(model, build_optimizer(model, MuonOptimizer(name="muon", learning_rate=0.01)), steps=1)
    for weight, old in zip(trained_block_weights(model), before, strict=True):
        size = float((weight.detach() - old).square().mean().sqrt())
        assert size == pytest.approx(0.2 * 0.01, rel=0.4)


def test_groups_and_state_are_shared_by_both_parts(make_model: MakeModel) -> None:
    model = make_model()
    optimizer = build_optimizer(model, SPEC)
    assert isinstance(optimizer, MuonAndAdamW)
    set_learning_rate(optimizer, 0.5)
    assert {group["lr"] for part in optimizer.parts for group in part.param_groups} == {0.5}
    stepped(model, optimizer, steps=1)
    parameters = list(model.parameters())
    assert set(optimizer.state) == set(parameters)
    of_muon = {p for p in parameters if "momentum_buffer" in optimizer.state[p]}
    assert of_muon == set(trained_block_weights(model))


def test_factors_are_trained_by_adamw(make_model: MakeModel) -> None:
    model = make_model()
    inject(model, LoraMethod(rank=4))
    assert type(build_optimizer(model, SPEC)) is AdamW


def test_a_layer_that_is_trained_in_full_beside_factors_keeps_muon(make_model: MakeModel) -> None:
    model = make_model()
    inject(model, LoraMethod(rank=4, target_modules=["*.q_proj"]))
    weight = model.get_submodule("model.layers.0.self_attn.k_proj").weight
    assert isinstance(weight, nn.Parameter)
    weight.requires_grad = True
    optimizer = build_optimizer(model, SPEC)
    assert isinstance(optimizer, MuonAndAdamW)
    assert optimizer.param_groups[0]["params"] == [weight]
