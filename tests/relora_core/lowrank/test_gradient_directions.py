"""A starts with the directions in which the gradient of W is largest."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from relora_core.distributed.world import SINGLE_PROCESS
from relora_core.lowrank.gradient_directions import follow_the_gradient
from relora_core.lowrank.inject import inject, low_rank_layers
from relora_core.lowrank.restart import reinitialize
from relora_core.spec import LoraMethod
from tests.relora_core.conftest import TINY_LLAMA, MakeModel

METHOD = LoraMethod(rank=4, frozen_dtype="fp32", factor_init="gradient", train_a=False)
BATCHES = [torch.arange(start, start + 16).unsqueeze(0) for start in (0, 8, 30)]


def backward(model: PreTrainedModel) -> None:
    for tokens in BATCHES:
        model(input_ids=tokens, labels=tokens).loss.backward()


def gradients_of_full_rank(model: PreTrainedModel) -> dict[str, Tensor]:
    """The gradient of each weight, summed over all batches."""
    backward(model)
    gradients = {
        name.removesuffix(".weight"): p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }
    model.zero_grad()
    return gradients


def counted(calls: list[int]) -> Callable[[PreTrainedModel], None]:
    def count_and_run(model: PreTrainedModel) -> None:
        calls.append(1)
        backward(model)

    return count_and_run


@pytest.mark.parametrize(
    ("vocabulary", "calls"), [(300, 1), (50, 5)], ids=["all layers at once", "some at a time"]
)
def test_rows_of_a_are_orthonormal_and_hold_as_much_of_the_gradient_as_any_four_can(
    vocabulary: int, calls: int, make_model: MakeModel
) -> None:
    model = make_model(**TINY_LLAMA, vocab_size=vocabulary)
    gradients = gradients_of_full_rank(model)
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    made: list[int] = []
    follow_the_gradient(model, counted(made), SINGLE_PROCESS)
    assert len(made) == calls
    for name, layer in low_rank_layers(model):
        a, gradient = layer.lora_a.detach(), gradients[name]
        torch.testing.assert_close(a @ a.T, torch.eye(4), rtol=0, atol=1e-5)
        largest = torch.linalg.svdvals(gradient)[:4].square().sum().sqrt()
        held = torch.linalg.vector_norm(gradient @ a.T)
        torch.testing.assert_close(held, largest, rtol=1e-4, atol=0)
        assert not layer.lora_b.any()


def test_a_gradient_that_is_not_finite_leaves_the_rows_that_were_drawn(
    make_model: MakeModel,
) -> None:
    model = make_model()
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    drawn = [layer.lora_a.detach().clone() for _, layer in low_rank_layers(model)]

    def overflow(model: PreTrainedModel) -> None:
        (model(input_ids=BATCHES[0], labels=BATCHES[0]).loss * math.inf).backward()

    follow_the_gradient(model, overflow, SINGLE_PROCESS)
    for (_, layer), a in zip(low_rank_layers(model), drawn, strict=True):
        assert torch.equal(layer.lora_a, a)


def test_a_layer_has_no_hook_afterwards(make_model: MakeModel) -> None:
    model = make_model()
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    follow_the_gradient(model, backward, SINGLE_PROCESS)
    assert not any(layer._forward_hooks for _, layer in low_rank_layers(model))
