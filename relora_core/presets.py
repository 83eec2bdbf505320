"""Model shapes and recipes by name. Torch-free."""

from collections.abc import Mapping
from typing import Any


def _llama(
    hidden: int, intermediate: int, heads: int, layers: int, positions: int = 1024
) -> dict[str, Any]:
    """A Llama config as the paper's authors published them (Guitaricet/relora, configs/)."""
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


MODELS: dict[str, dict[str, Any]] = {
    "llama_9m": _llama(128, 352, 4, 4),
    "llama_20m": _llama(256, 688, 4, 4),
    "llama_35m": _llama(384, 1024, 8, 6),
    "llama_60m": _llama(512, 1376, 8, 8),
    "llama_71m": _llama(512, 1368, 8, 12),
    "llama_100m": _llama(640, 1708, 10, 12),
    "llama_130m": _llama(768, 2048, 12, 12),
    "llama_250m": _llama(768, 2560, 16, 24),
    "llama_350m": _llama(1024, 2736, 16, 24),
    "llama_1b": _llama(2048, 5461, 32, 24),
    "llama_3b": _llama(2560, 6848, 32, 32),
    "llama_7b": _llama(4096, 11008, 32, 32, positions=2048),
}


def _paper_recipe(
    preset: str, *, batch: int, steps: int, learning_rate: float, low_rank: float, reset_every: int
) -> dict[str, Any]:
    return {
        "model": {"preset": preset},
        "tokenizer": {"pretrained": "t5-base"},
        "data": {
            "train": {"uri": "hf://allenai/c4?config=en&split=train"},
            "validation": {"uri": "hf://allenai/c4?config=en&split=validation"},
            "sequence_length": 512,
        },
        "method": {
            "name": "relora",
            "rank": 128,
            "alpha": 32,
            "warm_start_steps": min(5000, steps // 4),
            "reset_every": reset_every,
            "optimizer_reset": {"mode": "magnitude", "ratio": 0.99},
        },
        "training": {"steps": steps, "global_batch_size": batch, "max_grad_norm": 1.0},
        "optimizer": {
            "learning_rate": learning_rate,
            "low_rank_learning_rate": low_rank,
            "betas": [0.9, 0.999],
        },
        "schedule": {"warmup_steps": 500, "restart_warmup_steps": 100, "min_lr_ratio": 0.1},
    }


# arXiv 2307.05695, section 4 and appendix A; batch sizes and rates as in the authors' scripts.
RECIPES: dict[str, dict[str, Any]] = {
    "relora_60m": _paper_recipe(
        "llama_60m", batch=480, steps=10_000, learning_rate=1e-3, low_rank=1e-3, reset_every=2000
    ),
    "relora_130m": _paper_recipe(
        "llama_130m", batch=600, steps=20_000, learning_rate=1e-3, low_rank=1e-3, reset_every=5000
    ),
    "relora_250m": _paper_recipe(
        "llama_250m", batch=1152, steps=20_000, learning_rate=5e-4, low_rank=1e-3, reset_every=5000
    ),
    "relora_350m": _paper_recipe(
        "llama_350m", batch=1152, steps=20_000, learning_rate=5e-4, low_rank=1e-3, reset_every=5000
    ),
}

# Parts with variants: what is written replaces the recipe's part instead of mixing with it.
_VARIANTS = frozenset({"model", "tokenizer", "train", "validation", "optimizer_reset"})


def expand_recipe(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the recipe that `document` names; what is written beside it wins."""
    return _merge(RECIPES[document["recipe"]], document)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        mixes = key not in _VARIANTS and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if mixes and isinstance(value, Mapping) else value
    if above.get("tokens") is not None and above.get("steps") is None and "steps" in below:
        merged.pop("steps")  # `training` takes one of the two
    return merged
