from pathlib import Path

import pytest

from benchmarks import restarts
from benchmarks.restarts import TABLE, Restarts


def test_the_page_shows_the_committed_measurement() -> None:
    assert TABLE.page.read_text() == TABLE.page_text()


def test_the_reports_take_a_small_share_of_the_run() -> None:
    measured = TABLE.read_results()
    assert measured.report_seconds < 0.01 * measured.seconds


@pytest.mark.slow
@pytest.mark.integration
def test_a_measurement_is_a_whole_run(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, least in {"LAYERS": 1, "SEQUENCES": 2}.items():
        monkeypatch.setattr(restarts, name, least)
    monkeypatch.setitem(restarts.MODEL, "num_hidden_layers", 1)
    monkeypatch.setattr(restarts, "CORPUS", small_corpus)
    measured = Restarts.measure(steps=24, cache=tmp_path)
    assert [report.restart_step for report in measured.reports] == [8, 12, 16, 20]
    assert len(measured.lines) == 4
