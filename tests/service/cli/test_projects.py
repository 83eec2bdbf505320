"""Projects and their quotas, on the command line."""

import json

import pytest

from jobs.backends import Backends
from jobs.schemas.projects import Quotas
from tests.service.cli.conftest import Relora


def test_a_project_is_made_with_quotas_and_listed(relora: Relora, backends: Backends) -> None:
    quotas = ("--quota", "gpus=8", "--quota", "storage_bytes=2.5TB")
    result = relora("projects", "create", "speech", *quotas)
    assert (result.exit_code, result.stdout) == (0, "made project speech\n")
    made = backends.projects.report("speech")
    assert made.quotas == Quotas(gpus=8, storage_bytes=2_500_000_000_000)
    header, default, speech = relora("projects", "list").stdout.splitlines()
    assert header.split()[:5] == ["name", *Quotas.model_fields]
    assert default.split()[:5] == ["default", "none", "none", "none", "none"]
    assert speech.split()[:6] == ["speech", "none", "none", "8", "2.5", "TB"]


def test_quotas_are_changed_and_shown_beside_what_is_used(relora: Relora) -> None:
    relora("projects", "create", "speech", "--quota", "gpus=8", "--quota", "queued_jobs=5")
    changed = relora("projects", "change", "speech", "--quota", "gpus=none")
    assert changed.stdout.splitlines()[1].split()[:5] == ["speech", "5", "none", "none", "none"]
    _, *rows = relora("projects", "get", "speech").stdout.splitlines()
    assert [row.split() for row in rows] == [
        ["queued_jobs", "0", "5"],
        ["running_jobs", "0", "none"],
        ["gpus", "0", "none"],
        ["storage_bytes", "0", "bytes", "none"],
        ["gpu_hours", "0.00", "none"],
    ]
    report = json.loads(relora("projects", "get", "speech", "--json").stdout)
    assert (report["quotas"]["gpus"], report["usage"]["gpus"]) == (None, 0)


@pytest.mark.parametrize("limit", ["many", "-1", "2 XB", "", "1e3"])
def test_a_limit_that_is_none_is_refused(relora: Relora, limit: str) -> None:
    result = relora("projects", "create", "speech", "--quota", f"gpus={limit}")
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: gpus={limit}: a limit is a whole number, a size like 500GB, or none\n"
    )


def test_a_quota_that_there_is_not_is_refused_by_the_service(relora: Relora) -> None:
    result = relora("projects", "create", "speech", "--quota", "gpu=8")
    assert result.exit_code == 2
    assert "quotas.gpu" in result.stderr
