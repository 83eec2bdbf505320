"""What a job made, on the command line."""

import json
import threading
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.models import Job
from tests.service.cli.conftest import Relora
from tests.service.files import AddFile, play_generator


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


def test_what_was_saved_is_listed(relora: Relora, running: Job, add_file: AddFile) -> None:
    add_file("final/config.json", b"{}")
    _, row = relora("jobs", "checkpoints", running.id).stdout.splitlines()
    assert row.split() == ["final", "final", "0", "1", "2", "bytes", "-"]


@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_a_log_is_printed(
    relora: Relora, running: Job, add_file: AddFile, follow: tuple[str, ...]
) -> None:
    add_file("logs/attempt-1.log", b"one\ntwo\n")
    assert relora("jobs", "logs", running.id, *follow).stdout == "one\ntwo\n"
    assert relora("jobs", "logs", running.id, "--tail", "1", *follow).stdout == "two\n"
    as_json = relora("jobs", "logs", running.id, "--json", *follow).stdout.splitlines()
    assert [json.loads(line) for line in as_json] == [{"text": "one\ntwo\n"}]


def test_a_model_writes(
    relora: Relora, backends: Backends, running: Job, add_file: AddFile
) -> None:
    add_file("final/config.json", b"{}")
    generator = threading.Thread(target=play_generator, args=(backends,))
    generator.start()
    result = relora("jobs", "generate", running.id, "In the beginning")
    generator.join()
    assert (result.exit_code, result.stdout) == (0, "In the beginning was\n")
