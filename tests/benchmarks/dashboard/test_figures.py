"""The figures of the dashboard: measured in a real browser, and shown as they were measured."""

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from benchmarks.api.results import Times
from benchmarks.dashboard.figures import GOALS
from benchmarks.dashboard.report import MARKERS, measured_part, read_results
from benchmarks.dashboard.results import DashboardResults, Load
from benchmarks.machine import describe_machine
from benchmarks.report import PAGE, with_measured
from tests.fixtures.tiers import missing, program


def test_the_page_shows_what_the_committed_results_say() -> None:
    page = PAGE.read_text()
    assert page == with_measured(page, measured_part(read_results()), MARKERS)


@pytest.mark.integration
def test_what_misses_its_goal_is_shown_with_how_much() -> None:
    load = Load(reports=1200, seconds=60, busy_share=0.1, longest_task_milliseconds=250)
    results = DashboardResults(
        machine=describe_machine(),
        measured_at=datetime(2026, 11, 30, tzinfo=UTC),
        seconds=100,
        load_average_after=1,
        points=100_000,
        drawn_milliseconds=[700, 900, 5000],
        loads=[load],
        transferred_bytes=[70_000],
        zoomed_points=1_000_000,
        zooms=[Times.of([0.1] * 20)],
        build_seconds=[12.0],
        second_text_seconds=[0.5],
    )
    part = measured_part(results)
    assert "empty cache, 100,000 stored points | 1,000 ms | 900 ms | met | 90% |" in part
    assert "| the same: longest task | 100 ms | 250 ms | missed | 250% |" in part


@pytest.mark.slow
@pytest.mark.system
def test_no_figure_is_twice_its_goal() -> None:
    program("chromium", install="apt-get install chromium")
    command = [sys.executable, "-m", "benchmarks.dashboard", "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 2:
        missing(done.stderr)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured.keys() == {goal.key for goal in GOALS}
    assert {g.key: measured[g.key] for g in GOALS if measured[g.key] > 2 * g.most} == {}
