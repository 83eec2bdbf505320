"""The phases of a run: the length and the parameters of each."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from relora_core.estimate.parameter_plan import ParameterPlan, factored, full_rank, low_rank
from relora_core.events import Phase
from relora_core.shapes import ModelShape
from relora_core.spec import Factors, LowRank, TrainSpec


@dataclass(frozen=True)
class PlannedPhase:
    phase: Phase
    steps: int
    plan: ParameterPlan


def planned_phases(
    spec: TrainSpec, shape: ModelShape, *, as_stored: bool = False
) -> list[PlannedPhase]:
    """Return the phases of the run in order. Raise `ModelError` if the method does not fit."""
    return [
        PlannedPhase(phase, steps, _plan(shape, spec, phase, as_stored=as_stored))
        for phase, steps in _lengths(spec)
    ]


def _lengths(spec: TrainSpec) -> Iterator[tuple[Phase, int]]:
    first = min(spec.phases.first_steps, spec.total_steps)
    if first > 0:
        yield spec.phases.first, first
    if first < spec.total_steps:
        yield "low_rank", spec.total_steps - first


def _plan(shape: ModelShape, spec: TrainSpec, phase: Phase, *, as_stored: bool) -> ParameterPlan:
    method = spec.method
    if phase == "warm_start":
        assert isinstance(method, LowRank)
        return full_rank(shape, method.warm_start_method)
    if phase == "full_rank":
        return full_rank(shape, method)
    if isinstance(method, LowRank):
        plan = low_rank(shape, method, as_stored=as_stored)
        cycles = spec.phases.most_renewals(spec.total_steps)
        return replace(plan, compared_cycles=cycles * spec.spectrum.covers(plan.frozen))
    assert isinstance(method, Factors)  # low rank without W
    return factored(shape, method)
