"""`relora doctor`, on parts that work and on parts that do not."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.admin.migrate import migrate
from jobs.backends import open_backends
from jobs.schemas.keys import NewKey, Scope
from jobs.schemas.workers import Gpu, Registration
from jobs.settings import Settings
from tests.service.cli.conftest import Relora


def findings(relora: Relora) -> dict[str, tuple[str, bool]]:
    """Return the state of each part, and whether there is advice."""
    lines = map(json.loads, relora("doctor", "--json").stdout.splitlines())
    return {found["part"]: (found["state"], found["advice"] is not None) for found in lines}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELORA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RELORA_BROKER_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("RELORA_AUTHENTICATION", "required")
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.usefixtures("data")
def test_each_part_that_does_not_work_comes_with_what_to_do(relora: Relora) -> None:
    result = relora("doctor")
    assert result.exit_code == 1
    assert "PROBLEM tables: are missing or old\n        Run `python -m jobs.admin.migrate`." in (
        result.stdout
    )
    assert "PROBLEM broker: " in result.stdout
    assert "PROBLEM secrets: RELORA_SECRET_KEYS is not set" in result.stdout


@pytest.mark.usefixtures("data")
def test_a_database_that_does_not_answer_hides_only_what_is_in_it(
    relora: Relora, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELORA_DATABASE_URL", "postgresql://relora@127.0.0.1:9/relora")
    assert findings(relora).keys() == {"database", "broker", "storage", "secrets"}


@pytest.mark.usefixtures("data")
def test_keys_and_workers_are_looked_at(relora: Relora) -> None:
    settings = Settings()
    migrate(settings.database_url)
    assert findings(relora)["keys"] == ("there is none, so all requests are refused", True)
    assert findings(relora)["workers"] == ("none is alive", True)

    backends = open_backends(settings)
    backends.keys.create(NewKey(name="admin", scope=Scope.OPERATOR), project="default")
    gpu = Gpu(name="NVIDIA L4", memory_bytes=None)
    for name, problem in (("well", None), ("sick", "the disk is full")):
        worker = Registration(
            name=name, host="h", version="1", gpus=(gpu,) * 8, started_at=datetime.now(UTC)
        )
        backends.workers.beat(worker, problem=problem)
    backends.close()
    found = findings(relora)
    assert found["keys"] == ("at least one can be used", False)
    assert found["worker well"] == ("idle, 8 GPUs", False)
    assert found["worker sick"] == ("the disk is full", True)
