"""Model shapes by name, as Hugging Face configs.

Sources: the paper's Llama shapes are those of its authors (Guitaricet/relora, configs/); the
Pythia shapes are from Biderman et al., arXiv 2304.01373, and EleutherAI's published configs;
vit_base is from Dosovitskiy et al., arXiv 2010.11929, table 1, and the smaller two are DeiT-Ti and
DeiT-S of Touvron et al., arXiv 2012.12877, table 1.
"""

from typing import Any


def _llama(
    hidden: int, intermediate: int, heads: int, layers: int, positions: int = 1024
) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "max_position_embeddings": positions,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "vocab_size": 32100,
    }


def _pythia(hidden: int, heads: int, layers: int, vocabulary: int = 50304) -> dict[str, Any]:
    """Return a Pythia config.

    There are three vocabulary sizes, because the padding depends on how a model was trained.
    """
    return {
        "model_type": "gpt_neox",
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "max_position_embeddings": 2048,
        "hidden_act": "gelu",
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-5,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
        "vocab_size": vocabulary,
    }


def _vit(hidden: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "vit",
        "hidden_size": hidden,
        "intermediate_size": 4 * hidden,
        "num_attention_heads": heads,
        "num_hidden_layers": 12,
        "patch_size": 16,
        "image_size": 224,
    }


MODELS: dict[str, dict[str, Any]] = {
    "llama_9m": _llama(128, 352, 4, 4),
    "llama_20m": _llama(256, 688, 4, 4),
    "llama_35m": _llama(384, 1024, 8, 6),
    "llama_60m": _llama(512, 1376, 8, 8),
    "llama_71m": _llama(512, 1368, 8, 12),
    "llama_100m": _llama(512, 1368, 16, 21),
    "llama_130m": _llama(768, 2048, 12, 12),
    "llama_250m": _llama(768, 2560, 16, 24),
    "llama_350m": _llama(1024, 2736, 16, 24),
    "llama_1b": _llama(2048, 5461, 32, 24),
    "llama_3b": _llama(2560, 6848, 32, 32),
    "llama_7b": _llama(4096, 11008, 32, 32, positions=2048),
    "pythia_14m": _pythia(128, 4, 6),
    "pythia_31m": _pythia(256, 8, 6),
    "pythia_70m": _pythia(512, 8, 6),
    "pythia_160m": _pythia(768, 12, 12),
    "pythia_410m": _pythia(1024, 16, 24),
    "pythia_1b": _pythia(2048, 8, 16),
    "pythia_1_4b": _pythia(2048, 16, 24),
    "pythia_2_8b": _pythia(2560, 32, 32),
    "pythia_6_9b": _pythia(4096, 32, 32, vocabulary=50432),
    "pythia_12b": _pythia(5120, 40, 36, vocabulary=50688),
}

# For `task: image_classification`.
VISION_MODELS: dict[str, dict[str, Any]] = {
    "vit_tiny": _vit(192, 3),
    "vit_small": _vit(384, 6),
    "vit_base": _vit(768, 12),
}


def preset_names() -> list[str]:
    return [*MODELS, *VISION_MODELS]


def preset_config(name: str) -> dict[str, Any]:
    """Return the config of a preset. Raise `KeyError` if there is none of this name."""
    return dict(MODELS[name] if name in MODELS else VISION_MODELS[name])
