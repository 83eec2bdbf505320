"""The code of docs/library.md runs as it is written."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.logging import enable_progress_bar, is_progress_bar_enabled

from relora_core.events import AnyTrainEvent, TrainFinished, from_line
from tests.relora_core.conftest import ROOT

PAGE = (ROOT / "docs" / "library.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what the page needs of the repository, and a home of its own."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def events_in(workdir: Path) -> list[AnyTrainEvent]:
    return [from_line(line) for line in (workdir / "events.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")  # of the Trainer
def test_the_code_of_the_page_runs(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    enable_progress_bar()
    names: dict[str, Any] = {}
    run, *others = BLOCKS
    exec(compile(run, "library.md", "exec"), names)  # noqa: S102 - our own page
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])
    assert is_progress_bar_enabled()  # as it was found
    assert isinstance(events_in(folder / "runs/first")[-1], TrainFinished)
    assert (folder / "home/.cache/relora/shards").is_dir()
    for block in others:
        exec(compile(block, "library.md", "exec"), names)  # noqa: S102 - our own page
    assert len(names["losses"]) == 2
    assert not (folder / "runs/second/final").exists()
    assert capfd.readouterr().out.count("restart") >= 2
    assert {path.name for path in (folder / "runs").iterdir()} == {
        "first",
        "second",
        "at-20",
        "mine",
        "trainer",
    }
