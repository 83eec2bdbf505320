"""Keys, secrets and datasets, on the command line."""

import json
from pathlib import Path

from jobs.backends import Backends
from jobs.schemas.datasets import DatasetStatus
from tests.service.cli.conftest import Relora


def test_a_key_is_made_listed_and_revoked(relora: Relora) -> None:
    result = relora("keys", "create", "nightly", "--scope", "read")
    assert result.stdout.startswith("rlk_")
    assert "shown this once" in result.stderr
    _, row = relora("keys", "list").stdout.splitlines()
    key_id, *rest = row.split()
    assert rest == ["nightly", "read", result.stdout[:12], "usable", "-"]
    shown = relora("keys", "get", key_id).stdout
    assert "default" in shown
    assert result.stdout.strip() not in shown
    assert json.loads(relora("keys", "revoke", key_id, "--json").stdout) == {"id": key_id}
    assert key_id not in relora("keys", "list").stdout
    assert "revoked" in relora("keys", "list", "--revoked").stdout


def test_a_secret_comes_from_stdin_and_is_never_shown(relora: Relora, backends: Backends) -> None:
    result = relora("secrets", "set", "hf", given="hf_0123\n")
    assert (result.exit_code, result.stdout) == (0, "stored hf\n")
    assert backends.secrets.reveal("default", ["hf"]) == {"hf": "hf_0123"}
    assert json.loads(relora("secrets", "list", "--json").stdout)["name"] == "hf"
    assert relora("secrets", "delete", "hf").exit_code == 0
    assert relora("secrets", "delete", "hf").exit_code == 2


def test_a_dataset_is_uploaded_listed_and_deleted(
    relora: Relora, backends: Backends, tmp_path: Path
) -> None:
    file = tmp_path / "words.jsonl"
    file.write_text('{"text": "In the beginning"}\n')
    result = relora("datasets", "upload", file)
    (dataset,) = backends.datasets.list("default")
    assert dataset.status is DatasetStatus.READY
    assert (result.exit_code, result.stdout) == (0, f"{dataset.uri}\n")
    _, row = relora("datasets", "list").stdout.splitlines()
    assert row.split()[:4] == [dataset.id, "words.jsonl", "words.jsonl", "ready"]
    assert dataset.sha256 in relora("datasets", "get", dataset.id).stdout
    assert relora("datasets", "delete", dataset.id).exit_code == 0


def test_a_file_that_no_job_could_read_is_not_uploaded(relora: Relora, tmp_path: Path) -> None:
    (tmp_path / "words.docx").write_text("x")
    result = relora("datasets", "upload", tmp_path / "words.docx")
    assert result.exit_code == 2
    assert "words.docx" in result.stderr
