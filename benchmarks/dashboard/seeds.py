"""A running job with a long past: a warm start, then restarts."""

import random
from collections.abc import Iterator
from itertools import islice

from benchmarks.api.seeds import METRICS_A_STEP
from jobs.backends import Backends
from jobs.schemas.job import Job, JobSpec
from relora_core.events import AnyTrainEvent, Merged, PhaseStarted, StepFinished
from relora_core.optim.timeline import Timeline

LINES_AT_ONCE = 500
CYCLES = 10  # the first is the warm start
TOKENS_A_STEP = 2048


class Trainer:
    """Reports for a job as its trainer would, as fast as it is asked to."""

    def __init__(self, backends: Backends, *, points: int, more: int = 0) -> None:
        """Store a job with so many points in its curves, which has `more` steps to report."""
        steps = points // METRICS_A_STEP
        self._backends = backends
        self._spec = _spec(steps + more)
        self._events = enumerate(_events(self._spec), 1)
        self.job = self._start()
        while self.step < steps:
            self._report(LINES_AT_ONCE)

    def report(self) -> None:
        """Report one step, and wake up who waits for it."""
        self._report(1)
        self._backends.wakeups.publish(self.job.id)

    @property
    def step(self) -> int:
        return self._backends.store.progress(self.job.id).step

    def _report(self, lines: int) -> None:
        self._backends.attempts.append(self.job.id, 1, list(islice(self._events, lines)))

    def _start(self) -> Job:
        job = self._backends.store.create(self._spec)
        assert self._backends.attempts.claim(job.id, worker="bench", lease_seconds=86_400)
        self._backends.attempts.started(job.id, 1, resumed_from=None)
        return job


def _spec(steps: int) -> JobSpec:
    cycle = max(2, steps // CYCLES)
    return JobSpec.model_validate(
        {
            "name": "bench",
            "model": {"preset": "llama_9m"},
            "data": {"train": {"uri": "file:///corpus/*.txt"}},
            "method": {"name": "relora", "warm_start_steps": cycle, "reset_every": cycle},
            "training": {"steps": steps, "log_every": 1},
            "schedule": {"warmup_steps": 1, "restart_warmup_steps": 1},
        }
    )


def _events(spec: JobSpec) -> Iterator[AnyTrainEvent]:
    timeline, restarts = Timeline.of(spec), 0
    noise = random.Random(0)  # noqa: S311 # not used for secrets
    for step in range(spec.total_steps):
        if step == 0 or timeline.phase(step) != timeline.phase(step - 1):
            yield PhaseStarted(
                step=step,
                phase=timeline.phase(step),
                trainable_parameters=600_000,
                frozen_parameters=1_300_000,
            )
        if timeline.is_restart(step):
            restarts += 1
            yield Merged(
                step=step,
                restart=restarts,
                layers=28,
                update_norm=3.2,
                weight_norm=88.0,
                residual_norm=0.0,
            )
        yield StepFinished(
            step=step + 1,
            total_steps=spec.total_steps,
            phase=timeline.phase(step),
            loss=3 + noise.random(),
            learning_rate=timeline.learning_rate_at(step),
            grad_norm=1 + noise.random(),
            tokens_seen=(step + 1) * TOKENS_A_STEP,
            tokens_per_second=3000 + 100 * noise.random(),
            restarts=restarts,
        )
