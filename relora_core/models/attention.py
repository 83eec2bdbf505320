"""Make transformers treat each row as one sequence, or each document as one, in causal attention.

In each forward pass, transformers checks the positions: does a row contain several sequences? On
a GPU, the check waits for the device. torch.compile cannot check, so it creates a mask of
(n, 1, length, length), with which attention cannot use its kernels for causal masks. Unless the
spec asks for document masks, each row is one sequence here, packed or not: its positions count from
0 to its end. With document masks, the positions restart at each document, and the mask is always
made.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import masking_utils
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from relora_core.models.cpu_attention import causal_attention, faster_than_torch

_NAME = "sdpa"  # the default attention of models
_BEYOND_CAUSAL = ("position_bias", "softcap", "cache")  # options of some models


@contextmanager
def known_sequences(*, document_mask: bool = False) -> Iterator[None]:
    """Skip the check of transformers, and let it use the faster of two attention functions.

    With `document_mask`, a token sees only tokens of its own document.
    """
    look = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = _documents if document_mask else _one_sequence
    ALL_ATTENTION_FUNCTIONS[_NAME] = _attend_documents if document_mask else _attend
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS[_NAME]  # restores transformers' own function
        masking_utils.find_packed_sequence_indices = look


def _one_sequence(position_ids: Tensor) -> None:
    """Return None, as the function of transformers does if each row is one sequence."""


def _documents(position_ids: Tensor) -> Tensor:
    """Return the number of each token's document in its row, (n, length). Positions restart in it.

    The function of transformers does this too, but waits for the device first.
    """
    before = position_ids[:, :1] - 1
    return (torch.diff(position_ids, prepend=before, dim=-1) != 1).cumsum(-1)


def document_positions(tokens: Tensor, *, eos: int) -> Tensor:
    """Return the position of each token in its document. Shapes: (n, length).

    A document begins with the EOS that ends the one before it, as the stream of packed documents
    does: the first token of a text is predicted from this EOS.
    """
    places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    begins = torch.where(tokens == eos, places, 0).cummax(-1).values
    return places - begins


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
        return _attend_documents(module, query, key, value, None, **options)
    attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return attended, None


def _attend_documents(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Return the same as `_attend`. A mask shows no query a later key."""
    if _is_plainly_causal(module, options) and faster_than_torch(query, key):
        groups = query.shape[1] // key.shape[1]
        keys, values = repeat_kv(key, groups), repeat_kv(value, groups)
        scale = options.get("scaling") or query.shape[-1] ** -0.5
        by_products = causal_attention(query, keys, values, scale, mask=attention_mask)
        return by_products.transpose(1, 2).contiguous(), None
    attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return attended, None


def _is_plainly_causal(module: nn.Module, options: Mapping[str, Any]) -> bool:
    causal = options.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    others = (options.get(name) is not None for name in _BEYOND_CAUSAL)
    return bool(causal) and not options.get("dropout") and not any(others)
