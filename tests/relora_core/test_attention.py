"""What transformers is spared, and that nothing else changes."""

import torch
from transformers import masking_utils

from relora_core.attention import one_sequence_a_row
from tests.relora_core.conftest import MakeModel

LOOK = masking_utils.find_packed_sequence_indices
TOKENS = torch.arange(64).view(2, 32)


def test_a_model_computes_the_same_without_the_look_at_its_positions(make_model: MakeModel) -> None:
    model = make_model()
    expected = model(input_ids=TOKENS, use_cache=False).logits
    with one_sequence_a_row():
        assert torch.equal(model(input_ids=TOKENS, use_cache=False).logits, expected)
    assert masking_utils.find_packed_sequence_indices is LOOK


def test_a_traced_model_gets_no_mask(make_model: MakeModel) -> None:
    masks: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        masks.extend(
            node.kwargs["attn_mask"]
            for node in graph.graph.nodes
            if node.target is torch.nn.functional.scaled_dot_product_attention
        )
        return graph

    with one_sequence_a_row():
        torch.compile(make_model(), backend=backend)(input_ids=TOKENS, use_cache=False)
    torch.compiler.reset()
    assert masks == [None, None]
