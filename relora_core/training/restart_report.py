"""Report what each restart cost and what its cycle bought, as an event and as JSON.

The report of a restart is complete when the cycle that it began ends: before the next restart,
whose merge ends the cycle, or with the run. The cycle that runs, the reports so far and the
directions of earlier cycles are part of the run's state and of its checkpoints, so a resumed run
reports the same numbers.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pydantic import TypeAdapter
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # its stubs leave it out

from relora_core.distributed.world import World
from relora_core.events import Emit, RestartReport, RestartReported, Warned
from relora_core.files import publish_file
from relora_core.lowrank.directions import (
    Directions,
    Overlap,
    compare,
    directions_of,
    with_directions,
)
from relora_core.lowrank.inject import low_rank_layers, num_weights
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.state import TrainState
from relora_core.workdir.files import REPORTS

REPORT = f"{REPORTS}/restarts.json"
_REPORTS = TypeAdapter(list[RestartReport])


@dataclass(frozen=True)
class RestartReports:
    """The reports of one run. The trainer calls it before each step and at the end."""

    spec: TrainSpec
    timeline: Timeline
    workdir: Path
    world: World
    emit: Emit

    def before_step(self, state: TrainState) -> None:
        """Begin another cycle if a restart or a phase begins. Call it before any merge."""
        step, cycle = state.counters.step, state.restarts.cycle
        self._note_evaluation(state)
        if self.timeline.ends_cycle(step):
            self._end_cycle(state)
            state.restarts.cycle = cycle.next(start=step, restart=state.counters.restarts + 1)
        elif self.timeline.phase(step) != state.counters.phase:
            state.restarts.cycle = cycle.next(start=step, restart=0)

    def finish(self, state: TrainState) -> None:
        self._note_evaluation(state)
        if state.restarts.cycle.restart:
            self._end_cycle(state)

    def _note_evaluation(self, state: TrainState) -> None:
        counters = state.counters
        if counters.evaluated_at is not None:
            loss = counters.metrics["validation_loss"]
            state.restarts.cycle.evaluated(counters.evaluated_at, loss)

    def _end_cycle(self, state: TrainState) -> None:
        """Compare the cycle with those before it and, if a restart began it, report the restart."""
        started = time.perf_counter()
        overlaps = self._overlaps(state)
        if not state.restarts.cycle.restart:
            return
        report = self._report(state, overlaps)
        state.restarts.reports = [*state.restarts.reports, report]
        seconds = time.perf_counter() - started
        if self.world.is_main:
            content = _REPORTS.dump_json(state.restarts.reports, indent=1)
            publish_file(self.workdir / REPORT, content)
        self.emit(RestartReported(**report.model_dump(), path=REPORT, seconds=seconds))

    def _report(self, state: TrainState, overlaps: Sequence[Overlap]) -> RestartReport:
        step, cycle = state.counters.step, state.restarts.cycle
        return RestartReport(
            restart=cycle.restart,
            restart_step=cycle.start,
            step=step,
            window=cycle.window,
            loss_before=cycle.loss_before,
            loss_after=cycle.loss_after,
            loss_at_end=cycle.loss,
            steps_to_regain=cycle.steps_to_regain,
            tokens_lost=self._tokens_lost(cycle.start, step),
            unit=self.spec.unit,
            validation_loss_before=cycle.validation_loss_before,
            validation_loss_after=cycle.validation_loss_after,
            validation_loss_at_end=cycle.validation_loss,
            rank_gained=_rank_gained(state, cycle.start),
            angle=fmean(each.angle for each in overlaps) if overlaps else None,
            overlap=fmean(each.share for each in overlaps) if overlaps else None,
            overlap_by_chance=fmean(each.by_chance for each in overlaps) if overlaps else None,
        )

    def _tokens_lost(self, start: int, end: int) -> int:
        warm_up = range(start, min(end, start + self.timeline.restart_warmup_steps))
        lost = sum(max(0.0, 1 - self.timeline.share_of_schedule(step)) for step in warm_up)
        return round(lost * self.spec.tokens_per_step)

    def _overlaps(self, state: TrainState) -> list[Overlap]:
        """Compare each layer with the earlier cycles, and keep the directions of this one.

        Every rank has to call it; the main rank compares.
        """
        layers = dict(low_rank_layers(state.model))
        if not self.spec.spectrum.covers(sum(num_weights(layer) for layer in layers.values())):
            return []
        overlaps = []
        try:
            for name, layer in layers.items():
                new = directions_of(layer)
                if self.world.is_main:
                    overlaps += _compared(state, name, new)
        except LinAlgError as error:  # a failed report must not end the run
            step = state.counters.step
            message = f"no angle of the cycle that ends before step {step}: {error}"
            self.emit(Warned(code="no_angle", step=step, message=message))
        return overlaps


def _compared(state: TrainState, name: str, new: Directions) -> list[Overlap]:
    earlier = state.directions.get(name)
    state.directions[name] = with_directions(earlier, new)
    return [] if earlier is None else [compare(new, earlier)]


def _rank_gained(state: TrainState, start: int) -> float | None:
    """Return how much the total update gained in effective rank, as the spectrum measured it."""
    ranks = {spectrum.step: spectrum.mean("effective_rank") for spectrum in state.spectra}
    before, now = ranks.get(start), ranks.get(state.counters.step)
    return None if before is None or now is None else now - before
