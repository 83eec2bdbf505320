"""The defaults of transformers 5.23 for missing config fields, and its other names for fields."""

from collections.abc import Mapping
from typing import Any

_GATED = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}
_BASE_SIZE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}

DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {
        **_GATED,
        "vocab_size": 32000,
        "intermediate_size": 11008,
        "max_position_embeddings": 2048,
    },
    "mistral": {
        **_GATED,
        "vocab_size": 32000,
        "intermediate_size": 14336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    },
    "qwen2": {
        **_GATED,
        "vocab_size": 151936,
        "intermediate_size": 22016,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32768,
    },
    "gpt_neox": {
        "vocab_size": 50432,
        "hidden_size": 6144,
        "intermediate_size": 24576,
        "num_hidden_layers": 44,
        "num_attention_heads": 64,
        "max_position_embeddings": 2048,
        "attention_bias": True,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
    },
    "gpt2": {
        **_BASE_SIZE,
        "vocab_size": 50257,
        "intermediate_size": None,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
    },
    "opt": {
        **_BASE_SIZE,
        "vocab_size": 50272,
        "intermediate_size": 3072,
        "max_position_embeddings": 2048,
        "word_embed_proj_dim": None,
        "do_layer_norm_before": True,
        "_remove_final_layer_norm": False,
        "layer_norm_elementwise_affine": True,
        "enable_bias": True,
        "tie_word_embeddings": True,
    },
    "bloom": {
        "vocab_size": 250880,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 8,
        "tie_word_embeddings": True,
    },
    "vit": {
        **_BASE_SIZE,
        "intermediate_size": 3072,
        "image_size": 224,
        "patch_size": 16,
        "num_channels": 3,
        "num_labels": 2,
        "qkv_bias": True,
    },
}

_OTHER_NAMES = {
    "gpt2": {
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_positions": "max_position_embeddings",
        "n_inner": "intermediate_size",
    },
    "bloom": {
        "n_embed": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
    },
    "opt": {"ffn_dim": "intermediate_size"},
}


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with all fields that decide the shape, named equally for all families."""
    names = _OTHER_NAMES.get(config["model_type"], {})
    given = {names.get(key, key): value for key, value in config.items()}
    return {**DEFAULTS[config["model_type"]], **given}
