"""The backends of a process, and the modules that their import does not load."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from jobs.admin.migrate import migrate
from jobs.backends import open_backends
from jobs.schemas.job import JobSpec
from jobs.settings import Settings


def test_the_default_needs_nothing_but_a_folder(tmp_path: Path, spec: JobSpec) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    migrate(settings.database_url)
    with closing(open_backends(settings)) as backends:
        job = backends.store.create(spec)
        (tmp_path / "log").write_bytes(b"line")
        backends.storage_for(job).upload(tmp_path / "log", "logs/attempt-1.log")
    stored = tmp_path / "data" / "storage" / "jobs" / job.id / "logs" / "attempt-1.log"
    assert stored.read_bytes() == b"line"


@pytest.mark.integration
def test_the_contract_loads_neither_torch_nor_a_server_nor_a_cloud() -> None:
    program = (
        "import sys, jobs.backends\n"
        "print({'torch', 'transformers', 'fastapi', 'boto3'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
