"""Check the sizes and switches in a model's config."""

from collections.abc import Mapping
from typing import Any

from relora_core.errors import ModelError

_MOST = 10**7  # far above any real model; it only keeps sums of products small
_MOST_OF = {"num_hidden_layers": 1000}
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "word_embed_proj_dim",
    "image_size",
    "patch_size",
    "num_channels",
    "num_labels",
)
_SWITCHES = (
    "attention_bias",
    "mlp_bias",
    "qkv_bias",
    "enable_bias",
    "tie_word_embeddings",
    "use_parallel_residual",
    "do_layer_norm_before",
    "layer_norm_elementwise_affine",
    "_remove_final_layer_norm",
)
_MAY_BE_NULL = {"intermediate_size", "num_key_value_heads", "head_dim", "word_embed_proj_dim"}


def check_sizes(config: Mapping[str, Any]) -> None:
    """Raise `ModelError` for the first wrong size. `config` comes from `defaults.resolved`."""
    for name in _SIZES:
        value, most = config.get(name), _MOST_OF.get(name, _MOST)
        if name not in config or (value is None and name in _MAY_BE_NULL):
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ModelError(
                f"model.config gives no shape: {name} must be a whole number from 1 to {most}; "
                f"got {str(value)[:80]}"
            )
    _check_heads(config)


def check_switches(config: Mapping[str, Any]) -> None:
    """Raise `ModelError` for the first switch that is neither true nor false."""
    for name in _SWITCHES:
        if not isinstance(config.get(name, False), bool):
            raise ModelError(
                f"model.config gives no shape: {name} must be true or false; "
                f"got {str(config[name])[:80]}"
            )


def _check_heads(config: Mapping[str, Any]) -> None:
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    if not config.get("head_dim") and hidden % heads:
        raise ModelError(
            f"model.config gives no shape: hidden_size {hidden} does not divide over "
            f"num_attention_heads {heads}"
        )
    groups = config.get("num_key_value_heads") or heads
    if heads % groups:
        raise ModelError(
            f"model.config gives no shape: num_attention_heads {heads} does not divide over "
            f"num_key_value_heads {groups}"
        )
