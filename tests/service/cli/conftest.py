"""`relora`, run against the test's own service."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from jobs.settings import Settings
from service.cli import app

Relora = Callable[..., Result]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Webhooks may point to this machine, where their receiver is."""
    return settings.model_copy(update={"webhook_allow_private": True})


@pytest.fixture
def relora(url: str, monkeypatch: pytest.MonkeyPatch) -> Relora:
    """Runs `relora` with some arguments."""
    monkeypatch.setenv("COLUMNS", "60")  # no id is cut, even so

    def run(*arguments: str | Path, at: str = url, given: str | None = None) -> Result:
        environment = {"RELORA_URL": at}
        return CliRunner().invoke(app, list(map(str, arguments)), env=environment, input=given)

    return run


@pytest.fixture
def spec_file(tmp_path: Path, document: dict[str, Any]) -> Path:
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(document))
    return file
