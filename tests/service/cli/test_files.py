"""What a job made, on the command line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.job import Artifact, Job
from relora_core.events import Evaluated
from tests.service.cli.conftest import Relora
from tests.service.files import AddFile


def test_the_model_is_downloaded(
    relora: Relora, running: Job, add_file: AddFile, tmp_path: Path
) -> None:
    add_file("final/config.json", b"{}")
    add_file("logs/attempt-1.log", b"hello")
    result = relora("jobs", "download", running.id, "--to", tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/final/config.json  2 bytes\n")
    result = relora("jobs", "download", running.id, "--to", tmp_path, "--prefix", "", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["path"], line["size"]) for line in lines] == [
        ("final/config.json", 2),
        ("logs/attempt-1.log", 5),
    ]
    assert Path(lines[1]["file"]).read_bytes() == b"hello"


def test_nothing_to_download_is_said(relora: Relora, running: Job, tmp_path: Path) -> None:
    result = relora("jobs", "download", running.id, "--to", tmp_path)
    assert result.exit_code == 1
    assert "has no files at 'final/'" in result.stderr


def test_files_are_listed_and_narrowed(relora: Relora, running: Job, add_file: AddFile) -> None:
    add_file("final/config.json", b"{}")
    add_file("logs/attempt-1.log", b"hello")
    header, *rows = relora("jobs", "files", running.id).stdout.splitlines()
    assert header.split() == ["path", "kind", "step", "size"]
    assert [row.split() for row in rows] == [
        ["final/config.json", "final", "-", "2", "bytes"],
        ["logs/attempt-1.log", "log", "-", "5", "bytes"],
    ]
    for narrowing in (("--kind", "log"), ("--prefix", "logs/")):
        line = relora("jobs", "files", running.id, *narrowing, "--json").stdout
        assert json.loads(line)["path"] == "logs/attempt-1.log"


def test_what_was_saved_is_listed(relora: Relora, running: Job, add_file: AddFile) -> None:
    add_file("final/config.json", b"{}")
    _, row = relora("jobs", "checkpoints", running.id).stdout.splitlines()
    assert row.split() == ["final", "final", "0", "1", "2", "bytes", "-"]


def test_a_score_that_was_measured_before_the_checkpoint_shows_its_step(
    relora: Relora, running: Job, report: Callable[..., None], backends: Backends
) -> None:
    report(running, Evaluated(step=30, loss=3.0, perplexity=20.1, tokens=1000))
    saved = [
        Artifact(
            path=f"checkpoints/step-000000{step}/manifest.json",
            kind="checkpoint",
            step=step,
            size=2,
            sha256="0" * 64,
            created_at=datetime.now(UTC),
        )
        for step in (30, 40)
    ]
    backends.attempts.add_artifacts(running.id, 1, saved)
    _, stale, fresh = relora("jobs", "checkpoints", running.id).stdout.splitlines()
    assert stale.endswith("20.100 (step 30)")
    assert fresh.rstrip().endswith("20.100")


@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_a_log_is_printed(
    relora: Relora, running: Job, add_file: AddFile, follow: tuple[str, ...]
) -> None:
    add_file("logs/attempt-1.log", b"one\ntwo\n")
    assert relora("jobs", "logs", running.id, *follow).stdout == "one\ntwo\n"
    assert relora("jobs", "logs", running.id, "--tail", "1", *follow).stdout == "two\n"
    as_json = relora("jobs", "logs", running.id, "--json", *follow).stdout.splitlines()
    assert [json.loads(line) for line in as_json] == [{"text": "one\ntwo\n"}]
