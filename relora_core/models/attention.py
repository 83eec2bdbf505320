"""Make transformers treat each row as one sequence in causal attention.

In each forward pass, transformers checks the positions: does a row contain several sequences? On
a GPU, the check waits for the device. torch.compile cannot check, so it creates a mask of
(n, 1, length, length), with which attention cannot use its kernels for causal masks. In this
project each row is one sequence, packed or not: its positions count from 0 to its end.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import masking_utils
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from relora_core.models.cpu_attention import causal_attention, faster_than_torch

_NAME = "sdpa"  # the default attention of models
_BEYOND_CAUSAL = ("position_bias", "softcap", "cache")  # options of some models


@contextmanager
def one_sequence_a_row() -> Iterator[None]:
    """Skip the check of transformers, and let it use the faster of two attention functions."""
    look = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = _one_sequence
    ALL_ATTENTION_FUNCTIONS[_NAME] = _attend
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS[_NAME]  # restores transformers' own function
        masking_utils.find_packed_sequence_indices = look


def _one_sequence(position_ids: Tensor) -> None:
    """Return None, as the function of transformers does if each row is one sequence."""


def _attend(
    module: nn.Module,
    query: Tensor,  # (sequences, heads, length, d)
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return the attention, (sequences, length, heads, d), and None instead of its weights.

    The interface is that of transformers' `sdpa_attention_forward`.
    """
    if attention_mask is None and _is_plainly_causal(module, options):
        groups = query.shape[1] // key.shape[1]
        if faster_than_torch(query, key):
            keys, values = repeat_kv(key, groups), repeat_kv(value, groups)
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
