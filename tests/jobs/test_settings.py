"""Settings from the environment, and their defaults."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.settings import Settings


def test_everything_lives_in_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "my data")
    assert settings.database_url == f"sqlite:///{tmp_path}/my data/relora.db"
    assert settings.storage_url == f"file://{tmp_path}/my%20data/storage"
    assert settings.cache_dir == tmp_path / "my data" / "cache"
    assert settings.scratch_dir == tmp_path / "my data" / "scratch"


def test_the_data_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(data_dir=Path("runs")).data_dir == tmp_path / "runs"
    assert Settings().data_dir == Path.home() / ".relora"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RELORA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RELORA_DATABASE_URL", "postgresql://db/relora")
    monkeypatch.setenv("RELORA_LEASE_SECONDS", "30")
    settings = Settings()
    assert settings.database_url == "postgresql://db/relora"
    assert settings.lease_seconds == 30
    assert settings.storage_url == f"file://{tmp_path}/storage"


def test_a_lease_of_no_time_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Settings(lease_seconds=0)


def test_prefixes_stand_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELORA_ALLOWED_OUTPUTS", "s3://models/team, file:///models,")
    assert Settings().allowed_outputs == ("s3://models/team", "file:///models")
    assert Settings().allowed_sources == ()


def test_a_prefix_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="use s3://bucket/prefix or file:///folder"):
        Settings(allowed_sources=("corpus",))
