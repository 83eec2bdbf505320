"""Jobs as a server has them after a week: one of each status, with the events of their trainers."""

import math
from collections.abc import Iterator
from typing import Any

from jobs.backends import Backends
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from relora_core.events import (
    AnyTrainEvent,
    CheckpointSaved,
    DataProgress,
    Evaluated,
    LearningRateRestarted,
    Merged,
    OptimizerReset,
    PhaseStarted,
    Reinitialized,
    SpectrumMeasured,
    StepFinished,
    TrainFinished,
    TrainStarted,
)
from relora_core.optim.timeline import Timeline

LOG_EVERY = 2
TOKENS_A_STEP = 2048
WORKER = "worker-1"


def spec_of(name: str, document: dict[str, Any], **fields: Any) -> JobSpec:
    """A spec of 500 steps with a warm start of 100 and a restart each 100."""
    method = {"name": "relora", "rank": 16, "warm_start_steps": 100, "reset_every": 100}
    return JobSpec.model_validate(
        {
            **document,
            "name": name,
            "method": method,
            "training": {"steps": 500, "global_batch_size": 10, "log_every": LOG_EVERY},
            "evaluation": {"every": 50},
            **fields,
        }
    )


def make_scene(backends: Backends, document: dict[str, Any]) -> dict[str, Job]:
    """Return one job for each status, by the status."""
    succeeded = train(backends, spec_of("llama-relora-r16", document), until=500)
    backends.attempts.finish(succeeded.id, 1, JobStatus.SUCCEEDED)
    failed = train(backends, spec_of("llama-relora-lr4e-2", document), until=180)
    reason = JobError(code="diverged", message="diverged after 3 rewinds")
    backends.attempts.finish(failed.id, 1, JobStatus.FAILED, error=reason)
    paused = train(backends, spec_of("llama-relora-zero", document), until=240)
    backends.store.request_action(paused.id, RequestedAction.PAUSE)
    backends.attempts.finish(paused.id, 1, JobStatus.PAUSED)
    cancelled = backends.store.create(spec_of("llama-full", document, method={"name": "full"}))
    backends.store.request_action(cancelled.id, RequestedAction.CANCEL)
    running = train(backends, spec_of("llama-relora-r64", document, labels=LABELS), until=420)
    starting = claim(backends, spec_of("llama-lora", document, method={"name": "lora"}))
    prepared = DataProgress(split="train", making="tokens", documents=1204, tokens=318_000)
    backends.attempts.append(starting.id, 1, [(1, prepared)])
    queued = backends.store.create(spec_of("llama-galore", document, method={"name": "galore"}))
    jobs = {
        "succeeded": succeeded,
        "failed": failed,
        "paused": paused,
        "cancelled": cancelled,
        "running": running,
        "starting": starting,
        "queued": queued,
    }
    return {status: backends.store.get(job.id) for status, job in jobs.items()}


LABELS = {"team": "research"}


def claim(backends: Backends, spec: JobSpec) -> Job:
    job = backends.store.create(spec)
    assert backends.attempts.claim(job.id, worker=WORKER, lease_seconds=3600)
    return job


def train(backends: Backends, spec: JobSpec, *, until: int) -> Job:
    """A job whose trainer has reported all steps before `until`."""
    job = claim(backends, spec)
    backends.attempts.started(job.id, 1, resumed_from=None)
    reports = list(enumerate(events_of(spec, until), 1))
    for start in range(0, len(reports), 100):
        backends.attempts.append(job.id, 1, reports[start : start + 100])
    return job


def events_of(spec: JobSpec, until: int) -> Iterator[AnyTrainEvent]:
    timeline = Timeline.of(spec)
    yield TrainStarted(
        step=0,
        total_steps=spec.total_steps,
        parameters=1_900_000,
        tokens_per_step=TOKENS_A_STEP,
        world_size=1,
        device="cpu",
    )
    restarts = 0
    for step in range(0, until, LOG_EVERY):
        if step == 0 or timeline.phase(step) != timeline.phase(step - 1):
            yield PhaseStarted(
                step=step,
                phase=timeline.phase(step),
                trainable_parameters=600_000 if step else 1_900_000,
                frozen_parameters=1_300_000 if step else 0,
            )
        if timeline.is_restart(step):
            restarts += 1
            yield from restart_events(timeline, step, restarts)
        yield report(timeline, step, restarts)
        if (step + LOG_EVERY) % 50 == 0:
            loss = loss_at(timeline, step) + 0.04
            done = step + LOG_EVERY
            yield Evaluated(step=done, loss=loss, perplexity=math.exp(loss), tokens=30_000)
            yield CheckpointSaved(
                step=done, path=f"checkpoints/step-{done}", bytes=23_400_000, pause_seconds=0.1
            )
    if until >= spec.total_steps:
        yield TrainFinished(
            step=until,
            tokens_seen=until * TOKENS_A_STEP,
            restarts=restarts,
            skipped_steps=0,
            seconds=600,
            peak_memory_bytes=1_500_000_000,
        )


def restart_events(timeline: Timeline, step: int, number: int) -> Iterator[AnyTrainEvent]:
    rate = timeline.learning_rate_at
    yield Merged(
        step=step,
        restart=number,
        layers=28,
        update_norm=3.2 / number,
        weight_norm=88.0,
        residual_norm=0.0,
    )
    yield Reinitialized(step=step, restart=number, factors_norm=12.0, factors_hash="0" * 64)
    yield OptimizerReset(step=step, restart=number, mode="magnitude", kept=0.1)
    yield LearningRateRestarted(
        step=step,
        restart=number,
        warmup_steps=timeline.restart_warmup_steps,
        learning_rate_before=rate(step - 1),
        learning_rate=rate(step),
        learning_rate_target=rate(step + timeline.restart_warmup_steps),
    )
    yield SpectrumMeasured(
        step=step,
        restart=number,
        layers=28,
        effective_rank=20.0 + 9 * number,
        stable_rank=4.0 + number,
        numerical_rank=16.0 * (number + 1),
        path=f"spectrum/step-{step}.json",
        seconds=0.4,
    )


def loss_at(timeline: Timeline, step: int) -> float:
    """A loss that falls, and rises a little after each restart."""
    since = min((step - s for s in timeline.phases.restarts(10_000) if s <= step), default=1000)
    return 2.0 + 6.3 * float((1 + step / 12) ** -0.55) + 0.18 * math.exp(-since / 9) * (since > 0)


def report(timeline: Timeline, step: int, restarts: int) -> StepFinished:
    noise = 0.06 * math.sin(step * 1.7) * math.sin(step * 0.31)
    return StepFinished(
        step=step + LOG_EVERY,
        total_steps=timeline.total_steps,
        phase=timeline.phase(step),
        loss=loss_at(timeline, step) + noise,
        learning_rate=timeline.learning_rate_at(step),
        grad_norm=0.4 + 1.5 * (1 + step) ** -0.4 + abs(noise),
        tokens_seen=(step + LOG_EVERY) * TOKENS_A_STEP,
        tokens_per_second=3100.0 + 300 * (timeline.phase(step) == "low_rank") + 800 * noise,
        restarts=restarts,
    )
