from datetime import UTC, datetime

import pytest

from benchmarks.api.figures import numbers
from benchmarks.api.report import MARKERS, as_text, measured_part, read_results
from benchmarks.api.results import (
    ApiResults,
    Archive,
    Imports,
    JobPages,
    Listeners,
    MetricsRead,
    SteadyRate,
    Times,
)
from benchmarks.machine import describe_machine
from benchmarks.report import PAGE, with_measured

TIMES = Times.of([number / 1000 for number in range(1, 101)])


@pytest.fixture
def results() -> ApiResults:
    return ApiResults(
        machine=describe_machine(),
        measured_at=datetime(2026, 11, 24, tzinfo=UTC),
        seconds=100.0,
        load_average_after=1.0,
        imports=Imports(seconds=[1.0, 3.0, 1.25], torch=False),
        metrics=MetricsRead(points=1000, times=TIMES),
        job_pages=JobPages(jobs=100, times=TIMES),
        progress=SteadyRate(per_second=200, seconds=1, times=TIMES, errors=1),
        listeners=Listeners(listeners=10, events=10, times=TIMES, missed=0, peak_megabytes=123.45),
        archive=Archive(bytes=5_000_000_000, seconds=4.0, growth_megabytes=1.5),
    )


def test_times_are_summed_up_in_milliseconds_by_what_a_share_does_not_exceed() -> None:
    assert Times(count=100, p50=50, p95=95, p99=99, longest=100) == TIMES
    assert Times.of([0.002]) == Times(count=1, p50=2, p95=2, p99=2, longest=2)


def test_the_page_shows_what_the_committed_results_say() -> None:
    page = PAGE.read_text()
    assert page == with_measured(page, measured_part(read_results()), MARKERS)


@pytest.mark.integration
def test_the_figures_are_those_that_have_a_goal(results: ApiResults) -> None:
    assert numbers(results) == {
        "metrics_p95_ms": 95,
        "job_page_p95_ms": 95,
        "progress_p99_ms": 99,
        "progress_errors": 1,
        "listeners_p95_ms": 95,
        "listeners_missed": 0,
        "listeners_server_mb": 123.45,
        "model_tar_growth_mb": 1.5,
        "import_s": 1.25,
        "torch_imported": 0,
    }


@pytest.mark.integration
def test_what_misses_its_goal_is_shown_as_it_is(results: ApiResults) -> None:
    part = measured_part(results)
    assert "| page of 50 jobs, 10,000 stored: p95 | 30 ms | 95 ms | missed |" in part
    assert "| the same: memory of the server | 400 MB | 123.5 MB | met |" in part
    assert (
        as_text(results).count("missed") == 5
    )  # three figures, one that is so called, and the column
