"""Causal attention over rows that are one sequence each, as a run needs it of transformers.

With each forward pass transformers looks at the positions, whether a row is several sequences.
From a GPU, the answer is a wait for the device; under torch.compile, which cannot look, it is a
mask of (n, 1, length, length), and attention does without its kernels for causal masks. Here a row
is one sequence, packed or not: its positions count from 0 to its end.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import masking_utils
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from relora_core.models.cpu_attention import causal_attention, faster_than_torch

_NAME = "sdpa"  # what models ask for unless told otherwise
_BEYOND_CAUSAL = ("position_bias", "softcap", "cache")  # what some models ask for


@contextmanager
def one_sequence_a_row() -> Iterator[None]:
    """Spare transformers the look, and let it attend in the faster of two ways."""
    look = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = _one_sequence
    ALL_ATTENTION_FUNCTIONS[_NAME] = _attend
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS[_NAME]  # transformers' own stays beneath
        masking_utils.find_packed_sequence_indices = look


def _one_sequence(position_ids: Tensor) -> None:
    """What transformers' own answers where it finds no second sequence."""


def _attend(
    module: nn.Module,
    query: Tensor,  # (sequences, heads, length, d)
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """As transformers' `sdpa_attention_forward`: (sequences, length, heads, d), and no weights."""
    if attention_mask is None and _is_plainly_causal(module, options):
        groups = query.shape[1] // key.shape[1]
        keys, values = repeat_kv(key, groups), repeat_kv(value, groups)
        if faster_than_torch(query, keys):
            scale = options.get("scaling") or query.shape[-1] ** -0.5
            return causal_attention(query, keys, values, scale).transpose(1, 2).contiguous(), None
    attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return attended, None


def _is_plainly_causal(module: nn.Module, options: Mapping[str, Any]) -> bool:
    causal = options.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    others = (options.get(name) is not None for name in _BEYOND_CAUSAL)
    return bool(causal) and not options.get("dropout") and not any(others)
