"""The command `python -m jobs.admin.keys`, on its own database."""

import os
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.admin.keys import main
from jobs.backends import open_backends
from jobs.schemas.keys import Scope
from jobs.settings import Settings
from tests.fixtures.databases import MakeTables


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RELORA_DATA_DIR", str(tmp_path))
    return Settings()


@pytest.fixture
def database(settings: Settings, make_tables: MakeTables) -> None:
    make_tables(settings.data_dir)


@pytest.mark.usefixtures("database")
def test_the_first_key_is_made_listed_and_revoked(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["create", "--name", "admin", "--days", "30"]) is None
    secret = capsys.readouterr().out.strip()
    with closing(open_backends(settings)) as backends:
        key = backends.keys.find(secret)
        assert key is not None
        assert (key.name, key.project, key.scope) == ("admin", "default", Scope.OPERATOR)
        assert key.expires_at is not None
        assert key.expires_at - key.created_at == timedelta(days=30)
        assert main(["list"]) is None
        (line,) = capsys.readouterr().out.splitlines()
        assert line.split()[:4] == [key.id, key.prefix, "operator", "admin"]
        assert main(["revoke", key.id]) is None
        assert backends.keys.any_usable() is False
        capsys.readouterr()
        main(["list"])
        assert capsys.readouterr().out.split()[-1] == "revoked"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("create --name admin --project speech", "There is no project 'speech'."),
        ("create --name admin --days -1", "expires_in_days: must be greater than 0; got -1"),
        ("list --project speech", "There is no project 'speech'."),
        ("revoke key_1", "There is no key 'key_1'."),
    ],
)
def test_what_cannot_be_done_is_said(arguments: str, error: str) -> None:
    assert str(main(arguments.split())).startswith(error)


@pytest.mark.integration
def test_a_database_without_tables_is_said_to_need_a_migration(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "jobs.admin.keys", "create", "--name", "admin"],
        env={**os.environ, "RELORA_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "python -m jobs.admin.migrate" in result.stderr
    assert "Traceback" not in result.stderr
