"""Show an estimate as a table for the terminal, or as JSON."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from relora_core.counted import in_epochs
from relora_core.estimate.estimates import Estimate, PhaseEstimate
from relora_core.estimate.memory import Memory
from relora_core.estimate.text_table import text_table

_PARTS: dict[str, Callable[[Memory], int]] = {
    "  weights": lambda memory: memory.weights,
    "  frozen weights": lambda memory: memory.frozen,
    "  gradients": lambda memory: memory.gradients,
    "  optimizer": lambda memory: memory.optimizer,
    "  copies of weights": lambda memory: memory.weight_copies,
    "  activations": lambda memory: memory.activations,
    "  computed again": lambda memory: memory.recomputed,
    "  loss": lambda memory: memory.loss,
    "  peak": lambda memory: memory.peak,
    "  residuals, on the host": lambda memory: memory.residual,
    "  directions, on the host": lambda memory: memory.directions,
}


def as_json(estimate: Estimate) -> str:
    return json.dumps(asdict(estimate), indent=2)


def as_text(estimate: Estimate) -> str:
    phases = [*estimate.run.phases, *estimate.full_rank.phases]
    header = ["", *(phase.phase for phase in estimate.run.phases), "all full_rank"]
    if estimate.run.method == estimate.full_rank.method:
        phases, header = phases[:1], header[:2]
    return "\n".join([*_title(estimate), "", text_table(header, list(_rows(phases))), "",
                      *_summary(estimate)])  # fmt: skip


def _title(estimate: Estimate) -> Iterator[str]:
    hardware = estimate.hardware
    yield (
        f"{estimate.name}: {estimate.run.method} on {hardware.gpus} x {hardware.gpu.name}, "
        f"{_count(estimate.run.tokens)} tokens{_epochs(estimate)}"
    )
    yield f"Memory is that of one GPU with a micro-batch of {estimate.micro_batch_size}."


def _epochs(estimate: Estimate) -> str:
    known = ((source.name or "the data", source.epochs) for source in estimate.sources)
    read = [f"{in_epochs(epochs)} of {name}" for name, epochs in known if epochs is not None]
    return f", about {', '.join(read)}" if read else ""


def _rows(phases: list[PhaseEstimate]) -> Iterator[list[str]]:
    yield ["steps", *(f"{phase.steps:,}" for phase in phases)]
    yield ["parameters", *(_count(phase.parameters) for phase in phases)]
    yield ["trainable", *(_count(phase.trainable_parameters) for phase in phases)]
    yield ["memory", *("" for _ in phases)]
    for name, part in _PARTS.items():
        if any(part(phase.memory) for phase in phases):
            yield [name, *(_size(part(phase.memory)) for phase in phases)]
    yield ["largest micro-batch", *(str(phase.largest_micro_batch_size) for phase in phases)]
    yield ["FLOPs a token", *(f"{phase.executed_flops_per_token:.3g}" for phase in phases)]
    yield ["  of the model, for MFU", *(f"{phase.model_flops_per_token:.3g}" for phase in phases)]
    yield ["time", *(_duration(phase.seconds) for phase in phases)]


def _summary(estimate: Estimate) -> Iterator[str]:
    run, full, ratios = estimate.run, estimate.full_rank, estimate.ratios
    gpu = estimate.hardware.gpu
    fits = "fits into" if run.fits else "does NOT fit into"
    yield (
        f"Peak {_size(run.peak_bytes)}, in {run.peak_phase}: it {fits} {gpu.name}, where "
        f"{_size(gpu.usable_bytes)} of {gpu.memory_gib} GiB are taken as usable."
    )
    if run.method != full.method:
        yield (
            f"Beside full rank: trainable parameters at the end {ratios.trainable_parameters:.0%}, "
            f"memory at the end {ratios.last_phase_bytes:.0%}, peak {ratios.peak_bytes:.0%}, "
            f"FLOPs {ratios.executed_flops:.0%}, time {ratios.seconds:.0%}."
        )
    whole = f", full rank {_duration(full.seconds)}" if run.method != full.method else ""
    yield f"Time {_duration(run.seconds)}{whole}, for {run.executed_flops:.3g} FLOPs."
    yield (
        f"Assumed: {estimate.hardware.utilization:.0%} of the peak ({gpu.source}); no time for "
        "data, evaluation, restarts, checkpoints and sending gradients."
    )


def _count(number: float) -> str:
    """Return a number with a unit, such as 1.9M or 6.14B."""
    for size, unit, digits in ((1e9, "B", 2), (1e6, "M", 1), (1e3, "k", 1)):
        if number >= size:
            return f"{number / size:,.{digits}f}{unit}"
    return f"{number:,.0f}"


def _size(count: int) -> str:
    for size, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count} B"


def _duration(seconds: float) -> str:
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 1000 * size:
            return f"{seconds / size:.3g} {unit}"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:,.1f} min"
    return f"{seconds / 3600:,.1f} h"
