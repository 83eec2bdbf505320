"""An experiment with its text: run what is missing, and store each result at once."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from benchmarks.lab.experiments import Experiment, Run
from benchmarks.lab.plan import next_runs
from benchmarks.lab.records import Evaluation, Ranks, Record, Records, spec_hash
from benchmarks.lab.text.build import Text
from benchmarks.machine import Machine
from relora_core.estimate import estimate
from relora_core.events import (
    DataPrepared,
    Evaluated,
    Event,
    PhaseStarted,
    SpectrumMeasured,
    StepFinished,
    TrainFinished,
    TrainStarted,
)

Events = Sequence[Event]
Progress = Callable[[str], None]
AnEvent = TypeVar("AnEvent", bound=Event)


class RunFailed(Exception):
    """A run ended in a way that is no result. The message says what to do."""


@dataclass(frozen=True)
class Finished:
    """What a run reported. It diverged, or it came to its end."""

    run: Run
    events: Events
    diverged: bool


@dataclass(frozen=True)
class Laboratory(ABC):
    """An experiment with its text, and a way to run it."""

    experiment: Experiment
    text: Text
    text_folder: Path
    records: Records
    machine: Machine

    @abstractmethod
    def _finish(self, runs: Sequence[Run]) -> Iterator[Finished]:
        """Run these, and yield each when it is over. Raise `RunFailed`."""

    def run_all(self, progress: Progress) -> None:
        """Run what is missing, and store each result at once."""
        while runs := next_runs(self.experiment, self.records.read(self.text.sha256)):
            for finished in self._finish(runs):
                record = self._record(finished)
                self.records.write(record)
                result = "diverged" if record.diverged else f"{math.exp(record.loss):.2f}"
                progress(f"{record.run.name}: perplexity {result}, {record.seconds:.0f} s")

    def _record(self, finished: Finished) -> Record:
        run, events = finished.run, finished.events
        planned = estimate(self.experiment.spec(run, self.text_folder)).run
        ends = of_kind(events, TrainFinished)
        speeds = [step.tokens_per_second for step in of_kind(events, StepFinished)]
        return Record(
            run=run,
            spec_sha256=spec_hash(self.experiment, run),
            text_sha256=self.text.sha256,
            validation_bytes=sum(part.validation_bytes for part in self.text.parts),
            validation_tokens=_validation_tokens(events),
            machine=self.machine,
            diverged=finished.diverged,
            evaluations=_evaluations(events),
            ranks=_ranks(events),
            trained_parameters=of_kind(events, PhaseStarted)[-1].trainable_parameters,
            tokens=planned.tokens,
            executed_flops=planned.executed_flops,
            seconds=(events[-1].time - of_kind(events, TrainStarted)[0].time).total_seconds(),
            tokens_per_second=median(speeds) if speeds else None,
            peak_memory_bytes=ends[-1].peak_memory_bytes if ends else None,
        )


def of_kind(events: Events, kind: type[AnEvent]) -> list[AnEvent]:
    """Return the events of a kind."""
    return [event for event in events if isinstance(event, kind)]


def _evaluations(events: Events) -> list[Evaluation]:
    return [
        Evaluation(step=event.step, loss=event.loss, tokens=event.tokens or 0)
        for event in of_kind(events, Evaluated)
        if math.isfinite(event.loss)  # else it diverged
    ]


def _validation_tokens(events: Events) -> int:
    prepared = of_kind(events, DataPrepared)
    return next(event.tokens for event in prepared if event.split == "validation")


def _ranks(events: Events) -> list[Ranks]:
    return [
        Ranks(
            step=event.step,
            restart=event.restart,
            effective_rank=event.effective_rank,
            stable_rank=event.stable_rank,
            condition_number=event.condition_number,
            weight_effective_rank=event.weight_effective_rank,
            weight_condition_number=event.weight_condition_number,
        )
        for event in of_kind(events, SpectrumMeasured)
    ]
