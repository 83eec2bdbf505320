from pathlib import Path

import pytest

from benchmarks.api.figures import GOALS, numbers
from benchmarks.api.measure import Sizes, measure

pytestmark = pytest.mark.integration

SMALL = Sizes(
    metric_points=1000,
    stored_jobs=250,
    requests=8,
    per_second=50,
    seconds=0.5,
    listeners=20,
    events=2,
    archive_bytes=50_000_000,
    imports=1,
)


@pytest.mark.slow
def test_each_figure_is_measured_on_a_real_server(tmp_path: Path) -> None:
    told: list[str] = []
    results = measure(SMALL, tmp_path, told.append)
    assert len(told) == 6
    assert results.metrics.times.count == results.job_pages.times.count == 8
    assert (results.progress.times.count, results.progress.errors) == (25, 0)
    assert (results.listeners.times.count, results.listeners.missed) == (20 * 2, 0)
    assert results.archive.bytes > 50_000_000
    assert 0 <= results.archive.growth_megabytes < 50
    assert results.imports.torch is False
    assert numbers(results).keys() == {goal.key for goal in GOALS}
