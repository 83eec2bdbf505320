"""The training loop of a run: phases, steps, restarts, reports, evaluations and checkpoints.

The host runs ahead of the device: it reads the result of a step after the next step has begun.
It reads all results before it does anything other than a plain step. This does not change the
outcome of a run: if a result makes a rewind due, the rewind starts from the step of that result,
and the steps that were begun after it are undone.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor

from relora_core.checkpoint.checkpointer import Checkpoints
from relora_core.data.batch import Batch
from relora_core.data.loader import BatchLoader
from relora_core.distributed.replicas import check_replicas
from relora_core.distributed.world import World
from relora_core.events import (
    Emit,
    Exported,
    PhaseStarted,
    Reinitialized,
    SourceRead,
    StepFinished,
    TrainFinished,
    TrainStarted,
    TrainStopped,
    Warned,
)
from relora_core.export.hf_model import export
from relora_core.methods.method import Method
from relora_core.models.compilation import compiles
from relora_core.optim.optimizers import factor_learning_rate
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.state import Counters, TrainState
from relora_core.tasks.task import Task
from relora_core.training.automatic_restarts import AutomaticRestarts
from relora_core.training.best_checkpoint import BestCheckpoint
from relora_core.training.early_stop import EarlyStop
from relora_core.training.evaluate import evaluate
from relora_core.training.loss_spikes import find_spike
from relora_core.training.memory_report import MemoryReport
from relora_core.training.profile import Profiler
from relora_core.training.restart_report import RestartReports
from relora_core.training.rewind import Rewinder
from relora_core.training.spectrum_report import SpectrumReport
from relora_core.training.step_result import PendingResult, StepResult
from relora_core.training.stepper import Stepper
from relora_core.training.telemetry import Telemetry
from relora_core.workdir.files import FINAL, merged_path

UNREAD = 1  # the number of results that may be unread when the next step begins


@dataclass
class Trainer:
    """The parts of a run, built by `relora_core.train`, and the loop that drives them."""

    spec: TrainSpec
    state: TrainState
    timeline: Timeline
    automatic_restarts: AutomaticRestarts
    method: Method
    stepper: Stepper
    batches: BatchLoader
    task: Task
    checkpoints: Checkpoints
    rewinder: Rewinder
    spectrum: SpectrumReport
    restart_reports: RestartReports
    memory: MemoryReport
    telemetry: Telemetry
    profiler: Profiler
    workdir: Path
    world: World
    emit: Emit
    stop_requested: Callable[[], bool]
    early_stop: EarlyStop
    best_checkpoint: BestCheckpoint
    started: float = field(default_factory=time.monotonic)
    pending: deque[PendingResult] = field(default_factory=deque)  # the oldest first
    stopping: bool = False  # a result said that one of the ranks was asked to stop

    @property
    def counters(self) -> Counters:
        return self.state.counters

    def run(self) -> bool:
        """Train to the last step or until a stop is requested. Return whether it is complete."""
        self.emit(self._started())
        if self.counters.phase is not None:  # resumed: the phase's layers are already in the model
            self._check_replicas()
            self._prepare_stepper()
        while not self._is_over():
            asked_to_stop = self.stop_requested()
            if self.stopping or (asked_to_stop and self.world.size == 1):
                return self._stop()
            self.spectrum.before_step(self.state)
            self.restart_reports.before_step(self.state)
            self.profiler.before_step(self.counters.step)
            with self.telemetry.clock.step():
                self._before_step()
                self._begin_step(asked_to_stop=asked_to_stop)
                divergence = self._read_results(unread=0 if self._is_break() else UNREAD)
            if divergence:
                self._rewind(divergence)
            else:
                self._after_step()
            self.profiler.after_step(self.counters.step)
        self._finish()
        return True

    def _started(self) -> TrainStarted:
        epochs, sources = self._read_by(self.spec.total_steps)
        return TrainStarted(
            step=self.counters.step,
            total_steps=self.spec.total_steps,
            parameters=sum(p.numel() for p in self.state.model.parameters()),
            tokens_per_step=self.spec.tokens_per_step,
            unit=self.spec.unit,
            world_size=self.world.size,
            device=self.world.device.type,
            epochs=epochs,
            sources=sources,
        )

    def _read_by(self, batches: int) -> tuple[float | None, list[SourceRead]]:
        """Return the epochs of the data after so many batches, or of each source of a mixture."""
        uses = self.batches.sources(batches)
        if not self.spec.data.mixture:
            return uses[0].epochs, []
        length = self.spec.data.sequence_length
        return None, [
            SourceRead(name=use.name, tokens=use.examples * length, epochs=use.epochs)
            for use in uses
        ]

    def _before_step(self) -> None:
        """Switch the phase or restart, if the timeline says so.

        Neither changes the function that the model computes.
        """
        events = self.method.before_step(self.state)
        for event in events:
            self.emit(event)
        if events:
            self._check_replicas(e.factors_hash for e in events if isinstance(e, Reinitialized))
        if any(isinstance(event, PhaseStarted) for event in events):
            self._prepare_stepper()
        if self.counters.step == 0 and self.counters.evaluated_at is None:
            self._evaluate()

    def _prepare_stepper(self) -> None:
        step, phase, clock = self.counters.step, self.counters.phase, self.telemetry.clock
        assert phase is not None
        self.memory.end(step)  # of the phase before, with the switch
        with clock.uncounted():
            self.stepper.prepare(self.state, self.batches.batch(self.counters.next_batch))
        clock.expect_compiler(compiles=compiles(self.spec.training, self.world.device))
        size, expected = self.stepper.micro_batch_size, self.stepper.expected
        estimated = None if expected is None else expected.peak(size)
        self.memory.begin(step, phase, micro_batch_size=size, estimated=estimated)

    def _check_replicas(self, factors_hashes: Iterable[str] = ()) -> None:
        check_replicas(
            self.state.model, self.world, step=self.counters.step, factors_hashes=factors_hashes
        )

    def _begin_step(self, *, asked_to_stop: bool) -> None:
        with self.telemetry.clock.waiting():
            batch = self.batches.batch(self.counters.next_batch)
        result = self.stepper.step(
            self.state,
            batch,
            self.timeline.learning_rate_at(self.counters.step),
            asked_to_stop=asked_to_stop,
        )
        self.pending.append(result)
        self.counters.step += 1
        self.counters.tokens_seen += self.spec.tokens_per_step

    def _is_break(self) -> bool:
        """Return whether work that needs all results, such as a checkpoint, comes next."""
        step, spec = self.counters.step, self.spec
        periods = (
            spec.training.log_every,
            spec.evaluation.every,
            spec.checkpoint.every,
            spec.export.every,
            spec.spectrum.every,
        )
        last = step == spec.total_steps
        compiled = self.telemetry.clock.compiles  # so that the next step is timed alone
        change = self.timeline.is_change(step) or self.automatic_restarts.is_check(step)
        return last or compiled or change or any(_is_due(step, p) for p in periods)

    def _read_results(self, *, unread: int) -> StepResult | None:
        """Read and count the oldest results until only `unread` are left.

        Stop at a result that makes a rewind due, and return it.
        """
        while len(self.pending) > unread:
            result = self.pending.popleft().read()
            self._count(result)
            if self.rewinder.is_due(self.counters):
                return result
        return None

    def _count(self, result: StepResult) -> None:
        self.stopping |= result.asked_to_stop
        if not result.taken:
            self._skipped(result)
            return
        self.counters.record(result.loss, result.grad_norm)
        self.state.restarts.cycle.record(result.loss)
        if spike := find_spike(result, self.counters, self.spec.training):
            self.emit(spike)

    def _skipped(self, result: StepResult) -> None:
        self.counters.skipped_steps += 1
        self.counters.skipped_in_a_row += 1
        problem = f"loss {result.loss}, gradient norm {result.grad_norm}"
        self.emit(
            Warned(
                code="step_skipped",
                step=result.step,
                message=f"step {result.step} was not finite ({problem}); weights unchanged",
            )
        )

    def _rewind(self, result: StepResult) -> None:
        counters = self.counters
        counters.step = result.step  # the steps begun after it are undone too
        self.pending.clear()
        self.profiler.cancel()
        checkpoint = self.rewinder.target(counters, result)
        del self.state  # frees its memory before the new state is loaded
        self.stepper.release()
        self.state, event = self.rewinder.rewound(checkpoint, counters)
        self.emit(event)
        self.telemetry.clock.reset()
        self._check_replicas()
        self._prepare_stepper()

    def _after_step(self) -> None:
        step, spec = self.counters.step, self.spec
        if decided := self.automatic_restarts.after_step(self.state):
            self.emit(decided)
        if self._is_over() or step % spec.training.log_every == 0:
            self._report()
            self.early_stop.after_report(self.counters)
        if self._is_over() or _is_due(step, spec.evaluation.every):
            self._evaluate()
            self.early_stop.after_evaluation(self.counters)
        over = self._is_over()
        if over or _is_due(step, spec.checkpoint.every):
            self._save()
        if not over and _is_due(step, spec.export.every):
            self._export(merged_path(step))

    def _is_over(self) -> bool:
        counters = self.counters
        return counters.step == self.spec.total_steps or counters.stop_reason is not None

    def _report(self) -> None:
        counters = self.counters
        assert counters.phase is not None
        learning_rate = self.timeline.learning_rate_at(counters.step - 1)
        machine = self.telemetry.report(counters.phase, self.stepper.micro_batch_size)
        if counters.loss_count:
            epoch, sources = self._read_by(counters.next_batch)
            self.emit(
                StepFinished(
                    step=counters.step,
                    total_steps=self.spec.total_steps,
                    phase=counters.phase,
                    loss=counters.loss_sum / counters.loss_count,
                    learning_rate=learning_rate,
                    factor_learning_rate=factor_learning_rate(self.state.optimizer, learning_rate),
                    grad_norm=counters.grad_norm,
                    tokens_seen=counters.tokens_seen,
                    unit=self.spec.unit,
                    epoch=epoch,
                    sources=sources,
                    restarts=counters.restarts,
                    **asdict(machine),
                )
            )
        counters.loss_sum, counters.loss_count = 0.0, 0

    def _evaluate(self) -> None:
        objective = self.stepper.objective.eval()

        def measure(batch: Batch) -> Tensor:
            with self.stepper.autocast():
                return self.task.measure(objective, batch)

        with self.telemetry.clock.uncounted():
            event, of_sets = evaluate(
                self.task,
                measure,
                self.world,
                step=self.counters.step,
                batch_size=self.stepper.micro_batch_size,
            )
        self.counters.evaluated_at = event.step
        self.counters.metrics = {
            f"validation_{name}": value for name, value in event.scores.items()
        }
        for of_set in of_sets:
            self.counters.metrics |= {
                f"validation_{name}/{of_set.set}": value for name, value in of_set.scores.items()
            }
            self.emit(of_set)
        self.emit(event)

    def _save(self) -> None:
        self._check_replicas()  # first, so that no checkpoint holds weights that ranks disagree on
        self.stepper.keep_micro_batch(self.counters)
        self.counters.seconds = self.early_stop.seconds
        self.best_checkpoint.note(self.counters)
        self.checkpoints.save(self.state)

    def _export(self, path: str) -> None:
        size = export(
            self.state.model,
            self.task,
            self.workdir / path,
            spec=self.spec,
            counters=self.counters,
            world=self.world,
        )
        self.emit(Exported(step=self.counters.step, path=path, bytes=size))
        self.world.barrier()

    def _stop(self) -> bool:
        if divergence := self._read_results(unread=0):
            self._rewind(divergence)
        self.profiler.cancel()
        self._save()
        self.checkpoints.wait()
        self.memory.end(self.counters.step)
        self.emit(TrainStopped(step=self.counters.step))
        return False

    def _finish(self) -> None:
        self.profiler.finish(self.counters.step)
        self.checkpoints.wait()
        self.spectrum.finish(self.state)
        self.restart_reports.finish(self.state)
        exported = self.best_checkpoint.export(self.counters)
        if exported is None:
            self._export(FINAL)
        self.memory.end(self.counters.step)
        self.emit(
            TrainFinished(
                step=self.counters.step,
                tokens_seen=self.counters.tokens_seen,
                unit=self.spec.unit,
                restarts=self.counters.restarts,
                skipped_steps=self.counters.skipped_steps,
                seconds=time.monotonic() - self.started,
                loss=self.counters.metrics["validation_loss"],
                perplexity=self.counters.metrics.get("validation_perplexity"),
                accuracy=self.counters.metrics.get("validation_accuracy"),
                peak_memory_bytes=self.memory.peak_bytes,
                stop_reason=self.counters.stop_reason,
                exported_step=exported or self.counters.step,
            )
        )


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0
