"""What a run had spent at each evaluation, and jobs compared at what each of them has spent."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.schemas.job import Job
from relora_core.estimate import estimate
from relora_core.events import Evaluated, Event, StepFinished, TrainStarted
from service.cli.budgets import Entry, Spent, report, spending
from tests.service.cli.conftest import Relora


def started(step: int = 0) -> Event:
    return TrainStarted(
        step=step, total_steps=40, parameters=1, tokens_per_step=10, world_size=1, device="cpu"
    )


def trained(step: int, speed: float) -> Event:
    return StepFinished(
        step=step,
        total_steps=40,
        phase="full_rank",
        loss=4.0,
        learning_rate=0.1,
        grad_norm=1.0,
        tokens_seen=10 * step,
        tokens_per_second=speed,
        restarts=0,
    )


def scored(step: int, perplexity: float | None) -> Event:
    return Evaluated(step=step, loss=3.0, perplexity=perplexity, tokens=1000)


def test_an_evaluation_comes_after_the_tokens_and_the_training_time_until_then() -> None:
    events = [started(), scored(0, 90.0), trained(10, 50), trained(20, 25), scored(20, 30.0)]
    assert list(spending(events, None)) == [
        Spent(tokens=0, flops=None, seconds=0, perplexity=90.0),
        Spent(tokens=200, flops=None, seconds=2 + 4, perplexity=30.0),
    ]


def test_steps_that_are_repeated_after_a_stop_are_spent_once() -> None:
    events = [started(), trained(20, 50), started(10), trained(20, 50), scored(20, 30.0)]
    assert list(spending(events, None))[-1].seconds == 4


def test_an_evaluation_of_images_has_no_perplexity_and_is_left_out() -> None:
    assert list(spending([started(), scored(0, None)], None)) == []


def test_flops_count_each_phase_at_its_own_cost(running: Job) -> None:
    estimated = estimate(running.spec)
    steps = [phase.steps for phase in estimated.run.phases]
    events = [started(), scored(steps[0], 5.0), scored(sum(steps), 4.0)]
    first, last = spending(events, estimated)
    phase = estimated.run.phases[0]
    assert first.flops == pytest.approx(phase.tokens * phase.executed_flops_per_token)
    assert last.flops == pytest.approx(estimated.run.executed_flops)


def test_at_an_equal_budget_the_last_evaluation_within_it_counts(running: Job) -> None:
    slow = Entry(running, [Spent(100, None, 50, 40.0), Spent(200, None, 100, 30.0)])
    other = running.model_copy(update={"id": "other"})
    fast = Entry(other, [Spent(100, None, 20, 50.0), Spent(300, None, 60, 20.0)])
    *_, header, _, first, second = report([slow, fast])
    assert header == "| job | at 200 tokens | at 60 s |"  # FLOPs are not known
    assert first == f"| {running.id} | 30.000 | 40.000 |"
    assert second == "| other | 50.000 | 20.000 |"


def test_a_job_that_was_not_evaluated_has_no_score(running: Job) -> None:
    lines = list(report([Entry(running, [])]))
    assert lines[4].endswith("| - | - | - | - | - |")
    assert lines[-1] == f"| {running.id} |"


def test_the_report_of_jobs_is_written_to_a_file(
    relora: Relora, running: Job, report: Callable[..., None], tmp_path: Path
) -> None:
    report(running, started(), trained(20, 50), scored(20, 30.0))
    result = relora("compare", running.id, "--report", tmp_path / "report.md")
    assert result.exit_code == 0, result.output
    assert "| 200 |" in (tmp_path / "report.md").read_text()
