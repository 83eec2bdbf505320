"""The figures with a goal. Each is computed from the results."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Literal

from benchmarks.goals import AtLeast, AtMost, verdict
from benchmarks.results import Comparison, Results

Device = Literal["cpu", "cuda"]
Numbers = list[float] | None  # one number for each round, or one number; None: not measured


# A step has no other cost than the counted arithmetic and memory, but for these 5%.
OF_THE_LIMIT = AtLeast(0.95)


@dataclass(frozen=True)
class Figure:
    key: str
    title: str
    goal: AtLeast | AtMost | None
    device: Device
    numbers: Callable[[Results], Numbers]
    form: str = ".2f"

    def median(self, results: Results | None) -> float | None:
        numbers = self.numbers(results) if results else None
        return median(numbers) if numbers else None

    def verdict(self, results: Results | None) -> str:
        """Return whether the median meets the goal, or nothing if one of the two is missing."""
        found = self.median(results)
        if found is None or self.goal is None:
            return ""
        return verdict(met=self.goal.met_by(found))


def medians(results: Results, device: Device) -> dict[str, float | None]:
    return {figure.key: figure.median(results) for figure in FIGURES if figure.device == device}


def _comparison(results: Results, name: str) -> Comparison | None:
    return results.comparisons.get(name)


def _speed(name: str, contender: str, other: str) -> Callable[[Results], Numbers]:
    def numbers(results: Results) -> Numbers:
        comparison = _comparison(results, name)
        return comparison.ratios(contender, other) if comparison else None

    return numbers


def _share_of_limit(name: str, contender: str, other: str) -> Callable[[Results], Numbers]:
    def numbers(results: Results) -> Numbers:
        comparison = _comparison(results, name)
        return comparison.shares_of_limit(contender, other) if comparison else None

    return numbers


def _memory_share(name: str) -> Callable[[Results], Numbers]:
    """Return the counted ratio of the memory, divided by the measured one."""

    def numbers(results: Results) -> Numbers:
        comparison = _comparison(results, name)
        counted = comparison.counted("relora", "full") if comparison else None
        if comparison is None or counted is None:
            return None
        _, least = counted
        return [least / comparison.memory_ratio("relora", "full")]

    return numbers


def _memory(name: str) -> Callable[[Results], Numbers]:
    def numbers(results: Results) -> Numbers:
        comparison = _comparison(results, name)
        return [comparison.memory_ratio("relora", "full")] if comparison else None

    return numbers


def _full_speed(name: str) -> Callable[[Results], Numbers]:
    def numbers(results: Results) -> Numbers:
        comparison = _comparison(results, name)
        return comparison.contenders["full"].tokens_per_second if comparison else None

    return numbers


def _utilization(results: Results) -> Numbers:
    comparison = _comparison(results, "llama_1b")
    mfu = comparison.contenders["full"].mfu if comparison else None
    return None if mfu is None else [mfu]


def _restart_share(results: Results) -> Numbers:
    comparison = _comparison(results, "speed")
    if comparison is None or results.pauses is None:
        return None
    step = comparison.tokens_per_step / comparison.contenders["relora"].median
    return [results.pauses.restart_share(step)]


def _checkpoint_pause(results: Results) -> Numbers:
    pauses = results.pauses
    if pauses is None:
        return None
    pairs = zip(pauses.checkpoint_pauses, pauses.blocking_saves, strict=True)
    return [pause / save for pause, save in pairs]


def _packing(results: Results) -> Numbers:
    if results.packing is None:
        return None
    pairs = zip(results.packing.ours, results.packing.datasets_map, strict=True)
    return [ours / theirs for ours, theirs in pairs]


FIGURES = (
    Figure(
        "relora_over_full",
        "relora / full rank compiled, tokens/s",
        None,
        "cpu",
        _speed("speed", "relora", "full"),
    ),
    Figure(
        "relora_share_of_limit",
        "the same, as a share of what the counted arithmetic allows",
        OF_THE_LIMIT,
        "cpu",
        _share_of_limit("speed", "relora", "full"),
        ".1%",
    ),
    Figure(
        "relora_over_peft_trainer",
        "relora / peft LoRA with `transformers.Trainer`, tokens/s",
        AtLeast(2),
        "cpu",
        _speed("speed", "relora", "peft_trainer"),
    ),
    Figure(
        "relora_over_peft_compiled",
        "relora / peft LoRA compiled, tokens/s",
        AtLeast(1.1),
        "cpu",
        _speed("speed", "relora", "peft_compiled"),
    ),
    Figure(
        "relora_int8_over_full",
        "relora with int8 frozen weights / full rank compiled, tokens/s",
        None,
        "cpu",
        _speed("speed", "relora_int8", "full"),
    ),
    Figure(
        "relora_int8_over_peft_trainer",
        "relora with int8 frozen weights / peft LoRA with `transformers.Trainer`, tokens/s",
        None,
        "cpu",
        _speed("speed", "relora_int8", "peft_trainer"),
    ),
    Figure(
        "memory_over_full",
        "peak memory, relora / full rank, llama_130m, same batch",
        None,
        "cpu",
        _memory("memory"),
    ),
    Figure(
        "memory_share_of_limit",
        "what the counted tensors take, as a share of that",
        OF_THE_LIMIT,
        "cpu",
        _memory_share("memory"),
        ".1%",
    ),
    Figure(
        "whole_run_time",
        "a whole run with a warm start, relora / full rank, seconds",
        None,
        "cpu",
        lambda results: results.whole_runs.seconds_ratios() if results.whole_runs else None,
    ),
    Figure(
        "whole_run_memory",
        "peak memory of these whole runs, relora / full rank",
        None,
        "cpu",
        lambda results: results.whole_runs.memory_ratios() if results.whole_runs else None,
    ),
    Figure(
        "restart_share",
        "share of run time in restarts, one in 1000 steps",
        AtMost(0.005),
        "cpu",
        _restart_share,
        ".3%",
    ),
    Figure(
        "checkpoint_pause",
        "pause for a checkpoint / time of a blocking save",
        AtMost(0.15),
        "cpu",
        _checkpoint_pause,
    ),
    Figure(
        "pack_over_datasets_map",
        "tokenize and pack / `datasets.map`, MB/s",
        AtLeast(1.5),
        "cpu",
        _packing,
    ),
    Figure(
        "data_scaling",
        "time to pack an MB, at 4x the data / at 1x; 1 is linear",
        AtMost(1),
        "cpu",
        lambda results: results.scaling.data if results.scaling else None,
    ),
    Figure(
        "layers_scaling",
        "time of a step, at 4x the layers / at 1x; 4 is linear",
        AtMost(4),
        "cpu",
        lambda results: results.scaling.layers if results.scaling else None,
    ),
    Figure("mfu_1b", "full rank, llama_1b: MFU", AtLeast(0.45), "cuda", _utilization, ".1%"),
    Figure(
        "full_130m",
        "full rank, llama_130m, tokens/s",
        AtLeast(550_000),
        "cuda",
        _full_speed("llama_130m"),
        ",.0f",
    ),
    Figure(
        "full_350m",
        "full rank, llama_350m, tokens/s",
        AtLeast(190_000),
        "cuda",
        _full_speed("llama_350m"),
        ",.0f",
    ),
    Figure(
        "full_1b",
        "full rank, llama_1b, tokens/s",
        AtLeast(50_000),
        "cuda",
        _full_speed("llama_1b"),
        ",.0f",
    ),
    Figure(
        "relora_over_full_1b",
        "relora / full rank, llama_1b, tokens/s",
        None,
        "cuda",
        _speed("llama_1b", "relora", "full"),
    ),
    Figure(
        "relora_share_of_limit_1b",
        "the same, as a share of what the counted arithmetic allows",
        OF_THE_LIMIT,
        "cuda",
        _share_of_limit("llama_1b", "relora", "full"),
        ".1%",
    ),
    Figure(
        "relora_int8_over_full_1b",
        "relora with int8 frozen weights / full rank, llama_1b, tokens/s",
        None,
        "cuda",
        _speed("llama_1b", "relora_int8", "full"),
    ),
    Figure(
        "relora_fp8_over_full_1b",
        "relora with fp8 frozen weights / full rank, llama_1b, tokens/s",
        AtLeast(1.6),
        "cuda",
        _speed("llama_1b", "relora_fp8", "full"),
    ),
    Figure(
        "memory_over_full_1b",
        "peak memory, relora / full rank, llama_1b",
        None,
        "cuda",
        _memory("llama_1b"),
    ),
    Figure(
        "memory_share_of_limit_1b",
        "what the counted tensors take, as a share of that",
        OF_THE_LIMIT,
        "cuda",
        _memory_share("llama_1b"),
        ".1%",
    ),
)
