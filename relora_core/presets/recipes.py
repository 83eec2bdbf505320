"""The paper's runs by name: arXiv 2307.05695, with the settings that its authors published.

If a number was not checked in the paper, its source says "recalled" (from the paper, not checked)
or "derived" (computed from another number, or by a rule).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SCRIPT_60M = (
    "steps, batch, rates and reset from the authors' scripts/60M_relora.sh; warm start derived "
    "(a quarter of the steps)"
)
_SCRIPT_130M = (
    "steps, batch and rates from the authors' scripts/paper_130M.sh; warm start and reset from "
    "their README (250M)"
)
_README_250M = "steps, batch, rates, warm start and reset from the authors' README"
_LIKE_250M = "steps, batch, rates and reset recalled; warm start derived (as 250M)"
_PAPER_1B = (
    "steps, warm start and re-warm-up from the paper; batch derived from 786K tokens, recalled; "
    "reset and full rate recalled; low-rank rate derived (twice the full rate)"
)
_FACTORS = {"rank": 128, "alpha": 32}
_PRUNING = "pruning of 0.99 from appendix A"


@dataclass(frozen=True)
class Recipe:
    """A part of a spec, and the source of its numbers."""

    source: str
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class _Run:
    """The settings that all runs on one model size share."""

    preset: str
    batch: int  # sequences of 512 tokens
    steps: int
    learning_rate: float  # of full-rank training and of the warm start
    low_rank_learning_rate: float
    warm_start_steps: int
    reset_every: int
    source: str
    restart_warmup_steps: int = 100

    def spec(self, method: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "model": {"preset": self.preset},
            "tokenizer": {"pretrained": "t5-base"},
            "data": {
                "train": {"uri": "hf://allenai/c4?config=en&split=train"},
                "validation": {"uri": "hf://allenai/c4?config=en&split=validation"},
                "sequence_length": 512,
            },
            "method": method,
            "training": {
                "steps": self.steps,
                "global_batch_size": self.batch,
                "max_grad_norm": 1.0,
            },
            "optimizer": {
                "learning_rate": self.learning_rate,
                "low_rank_learning_rate": self.low_rank_learning_rate,
                "betas": [0.9, 0.999],
            },
            "schedule": {
                "warmup_steps": 500,
                "restart_warmup_steps": self.restart_warmup_steps,
                "min_lr_ratio": 0.1,
            },
        }

    def full(self) -> Recipe:
        return self._recipe("full training", {"name": "full"})

    def control(self) -> Recipe:
        return self._recipe("control", {"name": "control", "rank": 128})

    def lowrank(self) -> Recipe:
        return self._recipe("LoRA", {"name": "lowrank", **_FACTORS})

    def lora(self) -> Recipe:
        warm_start = {"warm_start_steps": self.warm_start_steps}
        return self._recipe("LoRA + warm start", {"name": "lora", **_FACTORS, **warm_start})

    def relora(self) -> Recipe:
        method = {
            "name": "relora",
            **_FACTORS,
            "warm_start_steps": self.warm_start_steps,
            "reset_every": self.reset_every,
            "optimizer_reset": {"mode": "magnitude", "ratio": 0.99},
        }
        return self._recipe("ReLoRA", method, more=f"; {_PRUNING}")

    def _recipe(self, row: str, method: Mapping[str, Any], more: str = "") -> Recipe:
        return Recipe(f"paper's main table, {row}; {self.source}{more}", self.spec(method))


_RUNS = {
    "60m": _Run("llama_60m", 480, 10_000, 1e-3, 1e-3, 2500, 1000, _SCRIPT_60M),
    "130m": _Run("llama_130m", 600, 20_000, 1e-3, 1e-3, 5000, 5000, _SCRIPT_130M),
    "250m": _Run("llama_250m", 1152, 20_000, 5e-4, 1e-3, 5000, 5000, _README_250M),
    "350m": _Run("llama_350m", 1152, 20_000, 5e-4, 1e-3, 5000, 5000, _LIKE_250M),
    "1b": _Run("llama_1b", 1536, 30_000, 4e-4, 8e-4, 10_000, 5000, _PAPER_1B, 50),
}

RECIPES: dict[str, Recipe] = {
    **{f"relora_{size}": run.relora() for size, run in _RUNS.items()},
    **{f"lora_{size}": run.lora() for size, run in _RUNS.items()},
    **{f"lowrank_{size}": run.lowrank() for size, run in _RUNS.items() if size != "1b"},  # no row
    **{f"control_{size}": run.control() for size, run in _RUNS.items()},
    **{f"full_{size}": run.full() for size, run in _RUNS.items()},
}

# Parts that are unions: the written part replaces the recipe's part completely.
_VARIANTS = frozenset({"model", "tokenizer", "train", "validation", "optimizer_reset"})

# Fields of which a spec takes one: the written one replaces the other one of the recipe.
_ALTERNATIVES = {
    "tokens": "steps",
    "warm_start_from": "warm_start_steps",
    "factor_learning_rate": "low_rank_learning_rate",
}


def expand_recipe(document: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the recipe that `document` names. The fields of `document` override it."""
    return _merge(RECIPES[document["recipe"]].spec, document)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        mixes = key not in _VARIANTS and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if mixes and isinstance(value, Mapping) else value
    for written, other in _ALTERNATIVES.items():
        if above.get(written) is not None and above.get(other) is None:
            merged.pop(other, None)
    return merged
