"""What transformers is spared, how it attends, and that nothing else changes."""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, masking_utils
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from relora_core.models import attention
from relora_core.models.attention import known_sequences
from tests.relora_core.conftest import TINY_LLAMA, MakeModel

LOOK = masking_utils.find_packed_sequence_indices
TOKENS = torch.arange(64).view(2, 32)


def test_a_model_computes_the_same_without_the_look_at_its_positions(make_model: MakeModel) -> None:
    model = make_model()
    expected = model(input_ids=TOKENS, use_cache=False).logits
    with known_sequences():
        assert torch.equal(model(input_ids=TOKENS, use_cache=False).logits, expected)
    assert masking_utils.find_packed_sequence_indices is LOOK


Graphs = list[torch.fx.GraphModule]


def traced(model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, *, products: bool) -> Graphs:
    """The graphs of the model; `products`: with attention as products, or else torch's."""
    monkeypatch.setattr(attention, "faster_than_torch", lambda _q, _k: products)
    graphs: Graphs = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    with known_sequences():
        torch.compile(model, backend=backend)(input_ids=TOKENS, use_cache=False)
    torch.compiler.reset()
    return graphs


def masks(graphs: Graphs) -> list[object]:
    """Of torch's attention."""
    return [
        node.kwargs["attn_mask"]
        for graph in graphs
        for node in graph.graph.nodes
        if node.target is torch.nn.functional.scaled_dot_product_attention
    ]


@pytest.mark.slow
def test_a_traced_model_gets_no_mask(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert masks(traced(make_model(), monkeypatch, products=False)) == [None, None]
    assert masks(traced(make_model(), monkeypatch, products=True)) == []


@pytest.mark.parametrize("key_value_heads", [4, 2])
def test_a_model_computes_the_same_with_attention_as_products(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, key_value_heads: int
) -> None:
    model = make_model(**TINY_LLAMA, vocab_size=300, num_key_value_heads=key_value_heads)
    expected = model(input_ids=TOKENS, use_cache=False).logits
    monkeypatch.setattr(attention, "faster_than_torch", lambda _q, _k: True)
    with known_sequences():
        logits = model(input_ids=TOKENS, use_cache=False).logits
    torch.testing.assert_close(logits, expected)
    assert not torch.equal(logits, expected)  # by another way: the sums round otherwise


@pytest.mark.parametrize(
    "other",
    [
        {"attention_mask": torch.ones(1, 1, 8, 8, dtype=torch.bool)},
        {"dropout": 0.5},
        {"is_causal": False},
        {"position_bias": torch.ones(1, 2, 8, 8)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_is_not_plain_causal_attention_is_left_to_transformers(
    other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "faster_than_torch", lambda _q, _k: True)
    monkeypatch.setattr(attention, "causal_attention", _must_not_be_called)
    queries = torch.randn(1, 2, 8, 4)
    given = {"attention_mask": None, **other}
    with known_sequences():
        attend = ALL_ATTENTION_FUNCTIONS["sdpa"]
        torch.manual_seed(0)
        ours, _ = attend(nn.Module(), queries, queries, queries, **given)
    torch.manual_seed(0)
    theirs, _ = sdpa_attention_forward(nn.Module(), queries, queries, queries, **given)
    assert torch.equal(ours, theirs)


def _must_not_be_called(*_: object) -> None:
    raise AssertionError


def test_afterwards_transformers_attends_as_before() -> None:
    with known_sequences():
        assert ALL_ATTENTION_FUNCTIONS["sdpa"] is not sdpa_attention_forward
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is sdpa_attention_forward


def test_grouped_keys_are_repeated_only_where_attention_is_products(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(**{**TINY_LLAMA, "num_key_value_heads": 2, "vocab_size": 300})
    expected = model(input_ids=TOKENS, use_cache=False).logits
    monkeypatch.setattr(attention, "repeat_kv", pytest.fail)
    with known_sequences():
        assert torch.equal(model(input_ids=TOKENS, use_cache=False).logits, expected)
