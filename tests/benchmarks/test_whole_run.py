"""Whole runs count all that a run does, warm start included."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.whole_run import WholeRuns
from tests.benchmarks.test_plans import TINY


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.integration
def test_each_run_has_a_process_of_its_own_and_all_its_phases(
    small_corpus: Path, tmp_path: Path
) -> None:
    workload = replace(TINY, corpus=small_corpus)
    measured = WholeRuns.measure(workload, steps=8, rounds=2, cache=tmp_path)
    assert {method: len(runs) for method, runs in measured.runs.items()} == {"full": 2, "relora": 2}
    for runs in measured.runs.values():
        assert all(run.seconds > 0 and run.peak_bytes > 1 << 20 for run in runs)
    assert len(measured.seconds_ratios()) == len(measured.memory_ratios()) == 2


@pytest.mark.usefixtures("forked")
@pytest.mark.integration
def test_a_run_that_fails_is_no_measurement(tmp_path: Path) -> None:
    workload = replace(TINY, corpus=tmp_path / "nothing")
    with pytest.raises(RuntimeError, match="a run ended with exit code 1"):
        WholeRuns.measure(workload, steps=8, rounds=1, cache=tmp_path)
