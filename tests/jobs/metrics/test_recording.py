"""The curves and markers of a job after its events, in both databases."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select

from jobs.database.tables.jobs import events, jobs, outbox
from jobs.database.tables.metrics import buckets, curves, markers, points
from jobs.errors import JobNotFound
from jobs.metrics.rollups import FANOUT, levels
from jobs.metrics.store import MetricStore, Steps, TableRow
from jobs.schemas.job import Job
from jobs.schemas.metrics import MarkerKind, Means, Metrics
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from relora_core.events import (
    AnyTrainEvent,
    CheckpointSaved,
    Evaluated,
    LossSpiked,
    Merged,
    PhaseStarted,
    Rewound,
    SetEvaluated,
    SourceRead,
    StepFinished,
    TrainStarted,
)
from tests.fixtures.reports import restart_reported

StepMade = Callable[[int], StepFinished]
TIME = 1_790_000_000.25


@pytest.fixture
def metrics(engine: Engine) -> MetricStore:
    return MetricStore(engine)


class Trainer:
    """Reports events of a job's first attempt, line after line."""

    def __init__(self, attempts: AttemptStore, job: Job) -> None:
        self._attempts, self._job, self._lines = attempts, job, 0

    def __call__(self, *told: AnyTrainEvent) -> None:
        self._attempts.append(self._job.id, 1, list(enumerate(told, self._lines + 1)))
        self._lines += len(told)


@pytest.fixture
def report(attempts: AttemptStore, running: Job) -> Trainer:
    return Trainer(attempts, running)


@pytest.fixture
def step(step_finished: StepMade) -> Callable[..., StepFinished]:
    def make(number: int, **values: Any) -> StepFinished:
        return step_finished(number).model_copy(update=values)

    return make


StepOf = Callable[..., StepFinished]


def started(step: int) -> TrainStarted:
    return TrainStarted(
        step=step, total_steps=100, parameters=1, tokens_per_step=1, world_size=1, device="cpu"
    )


def merged(step: int, restart: int) -> Merged:
    return Merged(
        step=step, restart=restart, layers=1, update_norm=1, weight_norm=1, residual_norm=0
    )


def saved(step: int) -> CheckpointSaved:
    return CheckpointSaved(step=step, path=f"checkpoints/{step}", bytes=1, pause_seconds=0)


def curve(read: Metrics, name: str) -> list[tuple[int, float | None]]:
    (found,) = [curve for curve in read.curves if curve.name == name]
    return list(zip(found.steps, found.values, strict=True))


def marked(read: Metrics) -> list[tuple[int, str]]:
    return [(marker.step, marker.kind.value) for marker in read.markers]


def losses(first: int, last: int, loss: float, step: StepOf) -> list[StepFinished]:
    return [step(number, loss=loss) for number in range(first, last + 1)]


def test_a_job_that_does_not_exist_has_no_metrics(metrics: MetricStore) -> None:
    with pytest.raises(JobNotFound):
        metrics.get("job_none")


def test_a_job_that_has_reported_nothing_has_no_curve(metrics: MetricStore, job: Job) -> None:
    assert metrics.get(job.id) == Metrics(curves=[], markers=[])


def test_each_number_of_a_step_and_of_an_evaluation_has_a_curve(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    at = datetime.fromtimestamp(TIME, UTC)
    report(
        *(step(number, time=at) for number in (1, 2)),
        Evaluated(step=2, loss=3.0, perplexity=20.0, tokens=10),
    )
    read = metrics.get(running.id)
    assert {found.name: curve(read, found.name) for found in read.curves} == {
        "loss": [(1, 4.0), (2, 4.0)],
        "learning_rate": [(1, 1e-3), (2, 1e-3)],
        "grad_norm": [(1, 0.5), (2, 0.5)],
        "tokens_seen": [(1, 1000.0), (2, 2000.0)],
        "tokens_per_second": [(1, 500.0), (2, 500.0)],
        "time": [(1, TIME), (2, TIME)],
        "validation_loss": [(2, 3.0)],
        "validation_perplexity": [(2, 20.0)],
    }


def test_sources_of_a_mixture_and_validation_sets_have_curves_of_their_own(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    read = [SourceRead(name="web", tokens=75, epochs=0.5), SourceRead(name="a", tokens=9, epochs=2)]
    report(
        step(1, sources=read),
        SetEvaluated(set="web", step=1, loss=3.0),
        Evaluated(step=1, loss=4.0),
    )
    names = [found.name for found in metrics.get(running.id).curves]
    assert names[-4:] == ["validation_loss", "validation_loss/web", "epochs/a", "epochs/web"]
    asked = metrics.get(running.id, names=["epochs/web"])
    assert curve(asked, "epochs/web") == [(1, 0.5)]


def test_what_a_step_tells_of_the_machine_has_curves_where_it_is_known(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(step(1), step(2, mfu=0.41, hfu=0.5, step_seconds=2.0, gpu_temperature_celsius=61.0))
    read = metrics.get(running.id)
    assert curve(read, "mfu") == [(2, 0.41)]
    assert curve(read, "hfu") == [(2, 0.5)]
    assert curve(read, "step_seconds") == [(2, 2.0)]
    assert curve(read, "gpu_temperature_celsius") == [(2, 61.0)]


def test_a_rate_of_the_factors_has_a_curve_where_there_is_one(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(step(1), step(2, factor_learning_rate=1.4e-2))
    assert curve(metrics.get(running.id), "factor_learning_rate") == [(2, 1.4e-2)]


def test_what_restarts_cost_and_bought_has_curves_where_their_cycles_end(
    metrics: MetricStore, running: Job, report: Trainer
) -> None:
    report(restart_reported(1, angle=None), restart_reported(2, steps_to_regain=None))
    read = metrics.get(running.id)
    assert {found.name: curve(read, found.name) for found in read.curves} == {
        "restart_loss_before": [(200, 4.0), (300, 4.0)],
        "restart_loss_after": [(200, 4.25), (300, 4.25)],
        "restart_loss_at_end": [(200, 3.75), (300, 3.75)],
        "restart_steps_to_regain": [(200, 12.0)],
        "restart_tokens_lost": [(200, 5000.0), (300, 5000.0)],
        "restart_rank_gained": [(200, 3.5), (300, 3.5)],
        "restart_angle": [(300, 75.0)],
        "restart_overlap": [(200, 0.125), (300, 0.125)],
    }


def test_names_and_a_range_of_steps_choose(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(*(step(number) for number in range(10, 100, 10)))
    read = metrics.get(running.id, names=["grad_norm"], steps=Steps(25, 50))
    assert [found.name for found in read.curves] == ["grad_norm"]
    assert curve(read, "grad_norm") == [(30, 0.5), (40, 0.5), (50, 0.5)]
    assert read.curves[0].num_points == 3
    for nothing in (Steps(51, 59), Steps(91, None), Steps(None, 9), Steps(50, 30)):
        assert curve(metrics.get(running.id, names=["loss"], steps=nothing), "loss") == []


def test_a_long_curve_keeps_its_peaks_wherever_they_are(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    peaks = {7: 99.0, 1203: -5.0, 2999: 50.0}
    for start in range(1, 3001, 300):
        report(*(step(n, loss=peaks.get(n, 4.0)) for n in range(start, start + 300)))
    read = metrics.get(running.id, names=["loss"], max_points=20)
    found = curve(read, "loss")
    assert read.curves[0].num_points == 3000
    assert len(found) <= 20
    assert set(peaks.items()) <= set(found)
    assert [found[0][0], found[-1][0]] == [1, 3000]
    part = curve(
        metrics.get(running.id, names=["loss"], steps=Steps(1000, 2998), max_points=10), "loss"
    )
    assert (1203, -5.0) in part
    assert [part[0][0], part[-1][0]] == [1000, 2998]


def means_of(read: Metrics, name: str) -> Means:
    (found,) = [curve for curve in read.curves if curve.name == name]
    assert found.means is not None
    return found.means


def test_a_long_curve_has_the_true_means_besides_its_peaks(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    """Points that are the peaks alone would average to 6, and not to 2.2."""
    spiky = [12.0 if n % 50 == 0 else 2.0 for n in range(1, 3001)]
    for start in range(0, 3000, 300):
        report(*(step(n + 1, loss=spiky[n]) for n in range(start, start + 300)))
    read = metrics.get(running.id, names=["loss", "tokens_seen"], max_points=100)
    means = means_of(read, "loss")
    assert sum(means.counts) == 3000
    assert len(means.steps) <= 100
    first = 0
    for last, value, count in zip(means.steps, means.values, means.counts, strict=True):
        assert last - first == count
        assert value == pytest.approx(sum(spiky[first:last]) / count)
        first = last
    tokens = means_of(read, "tokens_seen")
    assert tokens.steps == means.steps
    assert tokens.values[0] == sum(range(1, 65)) / 64 * 1000


def test_a_mean_is_the_same_whatever_range_was_asked_for(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    for start in range(1, 2001, 500):
        report(*(step(n, loss=float(n % 7)) for n in range(start, start + 500)))

    def means(*steps: int) -> dict[int, tuple[float | None, int]]:
        read = metrics.get(running.id, names=["loss"], steps=Steps(*steps), max_points=100)
        found = means_of(read, "loss")
        return dict(zip(found.steps, zip(found.values, found.counts, strict=True), strict=True))

    whole, part = means(1, 2000), means(65, 1984)
    assert whole[64][1] == 64
    assert part == {step: mean for step, mean in whole.items() if 65 <= step <= 1984}


def test_a_curve_with_all_its_points_has_no_means(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(*losses(1, 200, 4.0, step), Evaluated(step=200, loss=2.0, tokens=1))
    read = metrics.get(running.id, max_points=100)
    assert {curve.name for curve in read.curves if curve.means is None} == {"validation_loss"}


def test_a_loss_that_is_not_finite_is_a_gap(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(step(1), step(2, loss=float("nan")), step(3, loss=float("inf")))
    found = curve(metrics.get(running.id), "loss")
    assert found == [(1, 4.0), (2, None), (3, None)]


def test_an_attempt_that_goes_on_from_a_checkpoint_replaces_what_came_after_it(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(started(0), *losses(1, 90, 4.0, step), Evaluated(step=90, loss=2.0, tokens=1))
    report(started(37))
    assert curve(metrics.get(running.id), "loss") == [(n, 4.0) for n in range(1, 38)]
    assert curve(metrics.get(running.id), "validation_loss") == []
    report(*losses(38, 60, 3.0, step))
    assert curve(metrics.get(running.id), "loss") == [
        *((n, 4.0) for n in range(1, 38)),
        *((n, 3.0) for n in range(38, 61)),
    ]


def test_a_run_that_is_rewound_replaces_what_came_after_its_checkpoint_in_one_batch_too(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    back = Rewound(from_step=30, to_step=10, passed_over_steps=20, number=1)
    report(*losses(1, 30, 4.0, step), back, *losses(11, 13, 2.0, step))
    assert curve(metrics.get(running.id), "loss") == [
        *((n, 4.0) for n in range(1, 11)),
        *((n, 2.0) for n in range(11, 14)),
    ]


def test_a_step_that_is_reported_again_replaces_itself_and_those_after_it(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(*losses(1, 5, 4.0, step))
    report(step(3, loss=1.0), step(4, loss=1.0), step(4, loss=0.5))
    assert curve(metrics.get(running.id), "loss") == [(1, 4.0), (2, 4.0), (3, 1.0), (4, 0.5)]


@pytest.mark.parametrize("back_to", [0, 1, 15, 16, 63, 64, 99])
def test_the_buckets_after_a_cut_are_those_of_a_curve_that_was_never_cut(
    engine: Engine, report: Trainer, step: StepOf, back_to: int
) -> None:
    report(*(step(n, loss=float(n % 13)) for n in range(1, 101)))
    whole = stored(engine)
    report(started(back_to))
    assert len(stored(engine)) == sum(back_to // FANOUT**level for level in levels(100))
    for n in range(back_to + 1, 101, 7):
        report(*(step(m, loss=float(m % 13)) for m in range(n, min(n + 7, 101))))
    assert stored(engine) == whole


def stored(engine: Engine) -> set[tuple[object, ...]]:
    loss = select(curves.c.id).where(curves.c.name == "loss").scalar_subquery()
    with engine.begin() as connection:
        rows = connection.execute(select(buckets).where(buckets.c.curve_id == loss))
        return {tuple(row) for row in rows}


def test_restarts_and_what_else_happens_at_a_step_are_marked(
    store: JobStore, metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(
        started(0),
        PhaseStarted(step=0, phase="low_rank", trainable_parameters=1, frozen_parameters=1),
        step(10),
        saved(10),
        merged(10, restart=1),
        LossSpiked(step=15, loss=9, mean=4, deviation=1, z_score=5),
        merged(20, restart=2),
    )
    read = metrics.get(running.id)
    assert marked(read) == [
        (0, "phase"),
        (10, "checkpoint"),
        (10, "restart"),
        (15, "loss_spike"),
        (20, "restart"),
    ]
    (spike,) = [marker for marker in read.markers if marker.kind is MarkerKind.LOSS_SPIKE]
    assert spike.attempt == 1
    (event,) = (e for e in store.events(running.id) if e.id == spike.event)
    assert isinstance(event, LossSpiked)
    assert marked(metrics.get(running.id, steps=Steps(11, 19))) == [(15, "loss_spike")]


def test_a_restart_that_a_resumed_run_repeats_is_marked_once(
    metrics: MetricStore, running: Job, report: Trainer
) -> None:
    report(saved(10), merged(10, restart=1), saved(20), merged(20, restart=2))
    report(started(10), merged(10, restart=1))
    assert marked(metrics.get(running.id)) == [
        (10, "checkpoint"),
        (10, "resume"),
        (10, "restart"),
    ]


def test_the_table_has_a_row_for_each_step(
    metrics: MetricStore, running: Job, report: Trainer, step: StepOf
) -> None:
    report(step(1), step(2, loss=float("nan")), Evaluated(step=2, loss=3.0), step(3))
    names = metrics.names(running.id, ["validation_loss", "loss"])
    assert names == ["loss", "validation_loss"]
    assert list(metrics.table(running.id, names)) == [
        TableRow(1, {"loss": 4.0}),
        TableRow(2, {"loss": None, "validation_loss": 3.0}),
        TableRow(3, {"loss": 4.0}),
    ]


def test_the_metrics_of_a_deleted_job_go_with_it(
    engine: Engine, report: Trainer, step: StepOf
) -> None:
    report(merged(1, restart=1), *losses(1, 20, 4.0, step))
    with engine.begin() as connection:
        for table in (events, outbox, jobs):
            connection.execute(delete(table))
        for table in (curves, points, buckets, markers):
            assert connection.scalar(select(func.count()).select_from(table)) == 0
