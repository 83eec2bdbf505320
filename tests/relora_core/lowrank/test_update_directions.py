"""The singular values of an update, without the update."""

import pytest
import torch
from torch import nn

from relora_core.lowrank.inject import inject, low_rank_layers
from relora_core.lowrank.restart import reinitialize
from relora_core.lowrank.update_directions import (
    squared_singular_values,
    used_directions,
    visible_rank,
)
from relora_core.spec import ReloraMethod
from tests.relora_core.conftest import MakeModel

METHOD = ReloraMethod(rank=4, frozen_dtype="int8", trainable_scaling=True)


def low_rank(make_model: MakeModel, *, b: float = 0.1) -> nn.Module:
    model = make_model()
    inject(model, METHOD)
    reinitialize(model, step=0, restart=0, seed=0)
    for _, layer in low_rank_layers(model):
        nn.init.normal_(layer.lora_b, std=b)
        assert layer.lora_gain is not None
        nn.init.constant_(layer.lora_gain, 1.5)
    return model


def test_the_singular_values_are_those_of_the_product(make_model: MakeModel) -> None:
    for _, layer in low_rank_layers(low_rank(make_model)):
        expected = torch.linalg.svdvals(layer.update().double())[:4].flip(0)
        torch.testing.assert_close(
            squared_singular_values(layer).sqrt(), expected, rtol=1e-5, atol=0
        )


def test_rows_of_a_that_depend_on_each_other_have_a_value_of_zero(make_model: MakeModel) -> None:
    _, layer = next(low_rank_layers(low_rank(make_model)))
    layer.lora_a.data[3] = layer.lora_a.data[2]
    values = squared_singular_values(layer).sqrt()
    assert float(values[0]) == pytest.approx(0, abs=1e-6 * float(values[-1]))
    expected = torch.linalg.svdvals(layer.update().double())[:3].flip(0)
    torch.testing.assert_close(values[1:], expected, rtol=1e-5, atol=0)


def test_the_visible_rank_is_that_of_the_singular_values_of_update_and_weight(
    make_model: MakeModel,
) -> None:
    model = low_rank(make_model)
    counts = []
    for _, layer in low_rank_layers(model):
        weight = layer.frozen(torch.float32).double()
        typical = torch.linalg.svdvals(weight).square().mean()
        squares = torch.linalg.svdvals(layer.update().double()).square()
        counts.append(float((squares / (squares + typical)).sum()))
    assert visible_rank(model) == pytest.approx(sum(counts) / len(counts), rel=1e-5)


def test_the_visible_rank_grows_from_zero_to_the_rank(make_model: MakeModel) -> None:
    ranks = [visible_rank(low_rank(make_model, b=b)) for b in (0.0, 1e-3, 1e-2, 1e3)]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0
    assert ranks[-1] == pytest.approx(4, abs=1e-3)


def test_the_directions_are_the_first_right_singular_vectors_of_the_update(
    make_model: MakeModel,
) -> None:
    for _, layer in low_rank_layers(low_rank(make_model)):
        right = torch.linalg.svd(layer.update().double())[2][:2]
        found = used_directions(layer, 2).double()
        overlap = (found @ right.T).abs()
        torch.testing.assert_close(overlap, torch.eye(2).double(), rtol=0, atol=1e-5)


def test_an_update_of_zero_has_orthonormal_directions_too(make_model: MakeModel) -> None:
    for _, layer in low_rank_layers(low_rank(make_model, b=0.0)):
        rows = used_directions(layer, 2)
        torch.testing.assert_close(rows @ rows.T, torch.eye(2), rtol=0, atol=1e-6)
