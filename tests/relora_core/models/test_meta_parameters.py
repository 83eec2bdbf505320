"""A model without numbers: shapes alone, in no memory."""

import pytest
import torch

from relora_core.models.meta_parameters import drop_weights, has_weights, parameters_on_meta
from tests.relora_core.conftest import TINY_LLAMA, MakeModel
from tests.relora_core.estimate.live_memory import bytes_of

TIED = {**TINY_LLAMA, "vocab_size": 300, "tie_word_embeddings": True}


@pytest.mark.parametrize("tied", [False, True])
def test_it_has_the_shapes_and_buffers_of_the_model_and_no_numbers(
    make_model: MakeModel, *, tied: bool
) -> None:
    config = {**TIED, "tie_word_embeddings": tied}
    with parameters_on_meta():
        empty = make_model(**config)
    whole = make_model(**config)
    assert not has_weights(empty)
    shapes = {name: p.shape for name, p in whole.named_parameters()}
    assert {name: p.shape for name, p in empty.named_parameters()} == shapes
    buffers = dict(empty.named_buffers())
    assert buffers.keys() == dict(whole.named_buffers()).keys() != set()
    for name, buffer in whole.named_buffers():
        assert torch.equal(buffers[name], buffer), name


def test_models_that_are_built_later_have_numbers_again(make_model: MakeModel) -> None:
    with pytest.raises(RuntimeError, match="it failed"), parameters_on_meta():
        raise RuntimeError("it failed")
    assert has_weights(make_model())


def test_a_model_without_its_weights_frees_them_and_keeps_its_ties(make_model: MakeModel) -> None:
    model = make_model(**TIED)
    model.get_parameter("model.norm.weight").requires_grad = False
    drop_weights(model)
    assert not has_weights(model)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert not model.get_parameter("model.norm.weight").requires_grad
    assert bytes_of(model.buffers()) < 1000
