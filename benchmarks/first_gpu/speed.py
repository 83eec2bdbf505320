"""Speed and memory: full rank beside relora, in turns, as the benchmarks measure them."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from benchmarks.first_gpu.part import Results, Setting
from benchmarks.first_gpu.runs import corpus
from benchmarks.plans import Contest, compare
from benchmarks.results import Comparison
from benchmarks.workloads import Workload, preset
from relora_core.presets import MODELS

ROUNDS, STEPS = 3, 10
_TINY = Workload(
    "tiny",
    {**MODELS["llama_9m"], "num_hidden_layers": 1, "vocab_size": 300},
    sequences=2,
    precision="fp32",
    sequence_length=16,
    rank=4,
    compile=False,
)


def pair(setting: Setting) -> Results:
    """llama_350m: full rank and relora."""
    yield from _contest(setting, "llama_350m", 32, ("full", "relora"))


def one_billion(setting: Setting) -> Results:
    """llama_1b: full rank, and relora with frozen weights in bf16, fp8 and int8.

    If the card holds all four at their peaks, they compile at the same time. Otherwise that would
    take too long for one contest, so what is worth most comes first.
    """
    contenders = ("relora", "full", "relora_fp8", "relora_int8")
    contest = _planned(setting, "llama_1b", 16, contenders)
    together = not setting.on_gpu or contest.fits_together(torch.cuda.mem_get_info()[0])
    groups = [contenders] if together else [contenders[:2], contenders[2:]]
    for group in groups:
        yield from _contest(setting, "llama_1b", 16, group)


def _planned(setting: Setting, name: str, sequences: int, contenders: Sequence[str]) -> Contest:
    workload = preset(name, sequences=sequences, precision="bf16")
    tiny = replace(_TINY, corpus=corpus(setting))
    if setting.on_gpu:
        return Contest(name, workload, tuple(contenders), ROUNDS, STEPS)
    return Contest("tiny", tiny, tuple(contenders), 1, 1)


def _contest(setting: Setting, name: str, sequences: int, contenders: Sequence[str]) -> Results:
    contest = _planned(setting, name, sequences, contenders)
    compared = compare(contest, "cuda" if setting.on_gpu else "cpu", setting.cache)
    yield f"{contest.name}: {', '.join(contenders)}", _figures(compared)


def _figures(compared: Comparison) -> dict[str, Any]:
    figures: dict[str, Any] = compared.model_dump(mode="json")
    for name in compared.contenders:
        speeds = compared.ratios(name, "full")
        if speeds is not None and name != "full":
            figures[f"{name} / full, tokens/s"] = median(speeds)
            figures[f"{name} / full, memory"] = compared.memory_ratio(name, "full")
    return figures
