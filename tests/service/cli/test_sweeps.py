"""Jobs side by side, on the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from relora_core.events import Evaluated, TrainFinished
from tests.service.cli.conftest import Relora


def test_a_sweep_is_submitted_listed_and_cancelled(
    relora: Relora, backends: Backends, spec_file: Path
) -> None:
    result = relora("sweep", "submit", spec_file, "--grid", "method=full,lora", "--json")
    sweep = json.loads(result.stdout)
    assert [job["changes"] for job in sweep["jobs"]] == [{"method": "full"}, {"method": "lora"}]
    assert len(backends.store.list()) == 2
    _, *rows = relora("sweep", "get", sweep["id"]).stdout.splitlines()
    assert [row.split()[1:3] for row in rows] == [["full", "queued"], ["lora", "queued"]]
    assert "2 queued" in relora("sweep", "list").stdout
    assert "cancelled" in relora("sweep", "cancel", sweep["id"]).stdout


def test_a_field_is_named_by_its_end_where_that_says_enough(
    relora: Relora, spec_file: Path
) -> None:
    grid = ("--grid", "method.rank=8,16", "--grid", "method.name=lora,relora")
    result = relora("sweep", "submit", spec_file, *grid)
    assert result.stdout.splitlines()[1].split()[:4] == ["id", "rank", "method.name", "status"]


def test_a_wrong_grid_is_refused(relora: Relora, spec_file: Path) -> None:
    result = relora("sweep", "submit", spec_file, "--grid", "rank")
    assert (result.exit_code, result.stderr) == (2, "error: 'rank' is not like rank=64,128\n")


def test_what_is_wrong_in_a_sweep_is_named_as_it_was_typed(
    relora: Relora, spec_file: Path, document: dict[str, Any]
) -> None:
    document["training"]["seed"] = -1
    spec_file.write_text(json.dumps(document))
    grid = ("--grid", "rank=0,8", "--grid", "method=lora,relora")
    result = relora("sweep", "submit", spec_file, *grid)
    assert (result.exit_code, result.stderr.splitlines()[1:]) == (
        2,
        [
            "  --grid rank: with rank=0: must be at least 1; got 0",
            "  training.seed: must be at least 0; got -1",
        ],
    )


def test_jobs_are_compared(
    relora: Relora, running: Job, report: Callable[..., None], backends: Backends
) -> None:
    evaluated = Evaluated(step=1, loss=3.0, perplexity=20.1, tokens=1000)
    finished = TrainFinished(
        step=100,
        tokens_seen=1,
        restarts=0,
        skipped_steps=0,
        seconds=1.0,
        peak_memory_bytes=2_000_000_000,
    )
    report(running, evaluated, finished)
    other = backends.store.create(running.spec)
    _, row, empty = relora("compare", running.id, other.id).stdout.splitlines()
    assert row.split()[:4] == [running.id, "relora", "running", "100%"]
    score = ["20.100", "(step", "1)"]  # measured long before step 100
    assert row.split()[4:] == ["4.000", *score, "500", "2.0", "GB", "tiny"]
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    _, row, empty = relora("compare", running.id, other.id).stdout.splitlines()
    assert row.split()[3:] == ["4.000", *score, "500", "2.0", "GB", "tiny"]
    assert empty.split()[2:] == ["queued", "-", "-", "-", "-", "tiny"]


def test_the_paths_of_a_grid_begin_where_the_person_is(
    relora: Relora, spec_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("")
    grid = ("--grid", "data.train.uri=a.jsonl,file://b.jsonl")
    sweep = json.loads(relora("sweep", "submit", spec_file, *grid, "--json").stdout)
    assert [job["changes"]["data.train.uri"] for job in sweep["jobs"]] == [
        f"{tmp_path}/a.jsonl",
        f"file://{tmp_path}/b.jsonl",
    ]
