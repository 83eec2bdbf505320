"""When the service asks for keys, and when it does not start without one."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.admin.migrate import migrate
from jobs.backends import Backends
from jobs.schemas.keys import Scope
from jobs.settings import Authentication
from service.auth.key_policy import KeyPolicy, NoKeys, key_policy
from tests.service.keys import make_key


@pytest.mark.parametrize(
    ("setting", "host", "policy"),
    [
        ("auto", "127.0.0.1", "optional"),
        ("auto", "127.8.0.1", "optional"),
        ("auto", "::1", "optional"),
        ("required", "127.0.0.1", "required"),
        ("required", "0.0.0.0", "required"),  # noqa: S104 # said, not bound
        ("off", "127.0.0.1", "ignored"),
        ("off", "10.0.0.7", "ignored"),
    ],
)
def test_who_can_reach_the_service_decides_unless_a_setting_does(
    backends: Backends, setting: Authentication, host: str, policy: str
) -> None:
    assert key_policy(setting, host, backends.keys) is KeyPolicy(policy)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7"])  # noqa: S104 # said, not bound
def test_beyond_loopback_somebody_must_have_a_key(backends: Backends, host: str) -> None:
    with pytest.raises(NoKeys) as refused:
        key_policy("auto", host, backends.keys)
    for way_out in (
        f"others could reach {host}",
        "python -m jobs.admin.keys create --name admin --scope operator",
        "RELORA_AUTHENTICATION=off",
    ):
        assert way_out in str(refused.value)
    make_key(backends, Scope.OPERATOR)
    assert key_policy("auto", host, backends.keys) is KeyPolicy.REQUIRED


def test_an_open_service_says_so_in_its_log(
    backends: Backends, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        key_policy("off", "10.0.0.7", backends.keys)
    assert "whoever reaches 10.0.0.7 may do everything" in caplog.text


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize(
    "command",
    ["service.server --host 0.0.0.0 --port 0", "service.cli up --host 0.0.0.0 --port 0"],
    ids=["server", "up"],
)
def test_a_server_for_others_does_not_start_without_a_key(tmp_path: Path, command: str) -> None:
    migrate(f"sqlite:///{tmp_path}/relora.db")
    refused = subprocess.run(
        [sys.executable, "-m", *command.split()],
        env={**os.environ, "RELORA_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2
    assert "python -m jobs.admin.keys create" in refused.stderr
    assert "Traceback" not in refused.stderr
