"""The points that trackers draw from events."""

from datetime import UTC, datetime

from relora_core.events import Evaluated, Merged, Rewound, SetEvaluated, TrainStarted, TrainStopped
from tests.fixtures.reports import restart_reported, step_finished
from worker.trackers.points import AppendOnly, ResumedAt, TrackedPoint, read

NOW = datetime.now(UTC)


def started(step: int) -> TrainStarted:
    return TrainStarted(
        step=step, total_steps=100, parameters=1, tokens_per_step=1, world_size=1, device="cpu"
    )


def test_a_step_is_a_point_of_each_of_its_curves() -> None:
    point = read(step_finished(5))
    assert isinstance(point, TrackedPoint)
    assert point.step == 5
    assert point.values == {
        "train/loss": 4.0,
        "train/learning_rate": 1e-3,
        "train/grad_norm": 0.5,
        "train/tokens_seen": 5000.0,
        "train/tokens_per_second": 500.0,
        "train/restarts": 1.0,
    }


def test_a_rate_of_the_factors_is_drawn_where_there_is_one() -> None:
    point = read(step_finished(5, factor_learning_rate=1.4e-2))
    assert isinstance(point, TrackedPoint)
    assert point.values["train/factor_learning_rate"] == 1.4e-2


def test_what_a_step_tells_of_the_machine_is_drawn_where_it_is_known() -> None:
    point = read(step_finished(5, mfu=0.41, data_wait_seconds=0.0, memory_peak_bytes=7 << 30))
    assert isinstance(point, TrackedPoint)
    assert point.values["train/mfu"] == 0.41
    assert point.values["train/data_wait_seconds"] == 0.0
    assert point.values["train/memory_peak_bytes"] == 7 << 30
    assert "train/gpu_power_watts" not in point.values


def test_scores_and_restarts_are_drawn() -> None:
    scores = read(Evaluated(step=5, loss=2.0, perplexity=7.4))
    assert isinstance(scores, TrackedPoint)
    assert scores.values == {"eval/loss": 2.0, "eval/perplexity": 7.4}
    of_set = read(SetEvaluated(set="web", step=5, loss=2.0, perplexity=7.4))
    assert isinstance(of_set, TrackedPoint)
    assert of_set.values == {"eval_web/loss": 2.0, "eval_web/perplexity": 7.4}
    merged = Merged(step=6, restart=1, layers=2, update_norm=1, weight_norm=2, residual_norm=0)
    point = read(merged)
    assert isinstance(point, TrackedPoint)
    assert point.values == {
        "restart/update_norm": 1.0,
        "restart/weight_norm": 2.0,
        "restart/residual_norm": 0.0,
    }
    assert read(TrainStopped(step=7)) is None


def test_what_a_restart_cost_and_bought_is_drawn_where_its_cycle_ends() -> None:
    point = read(restart_reported(2, validation_loss_after=None))
    assert isinstance(point, TrackedPoint)
    assert point.step == 300
    assert point.values["restart/steps_to_regain"] == 12.0
    assert point.values["restart/angle"] == 75.0
    assert "restart/validation_loss_after" not in point.values
    assert len(point.values) == 11


def test_a_resume_and_a_rewind_say_from_where_the_run_goes_on() -> None:
    assert read(started(0)) is None
    resumed = read(started(20))
    assert isinstance(resumed, ResumedAt)
    assert resumed.step == 20
    rewound = read(Rewound(from_step=50, to_step=40, passed_over_steps=10, number=1))
    assert isinstance(rewound, ResumedAt)
    assert rewound.step == 40


def test_a_curve_that_can_only_grow_takes_no_step_twice() -> None:
    new = AppendOnly({"train/loss": 20})
    assert new.of(TrackedPoint(20, NOW, {"train/loss": 1.0, "eval/loss": 2.0})) == {
        "eval/loss": 2.0
    }
    assert new.of(TrackedPoint(21, NOW, {"train/loss": 1.0})) == {"train/loss": 1.0}
    assert new.of(TrackedPoint(21, NOW, {"train/loss": 9.0})) == {}
