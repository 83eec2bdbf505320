"""What docs/api.md says to paste is pasted, against the live service."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.backends import Backends, open_backends
from jobs.schemas.job import Artifact, Job, JobSpec
from jobs.schemas.status import RequestedAction
from jobs.settings import Settings
from tests.fixtures.reports import step_finished
from tests.service.serving import serving

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
SUBMITTED = re.compile(r"^(JOB=.*|job = client.jobs.create.*)$", re.M)
# An answer that is an error ends the script, and so does a stream that was not asked to end.
QUIET = """curl() {
    local code=0 fail=--fail-with-body
    [[ " $*" == *" -f"* ]] && fail=  # curl takes one of the two
    command curl -sS $fail "$@" || code=$?
    [ $code = 0 ] || [ $code = 28 ] || { echo "curl $*: $code" >&2; kill $$; }
}
"""


def script(language: str) -> str:
    return "".join(re.findall(rf"```{language}\n(.*?)```", PAGE, re.S))


@pytest.fixture
def backends(settings: Settings, valkey_url: str) -> Iterator[Backends]:
    with closing(open_backends(settings.model_copy(update={"broker_url": valkey_url}))) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "clone"
    place.mkdir()
    (place / "examples").symlink_to(ROOT / "examples")
    return place


@pytest.fixture
def training(backends: Backends, document: dict[str, object], tmp_path: Path) -> Job:
    """A job that has what only a worker makes: steps, a log, a merged model."""
    job = backends.store.create(JobSpec.model_validate(document))
    assert backends.attempts.claim(job.id, worker="w1", lease_seconds=3600)
    backends.attempts.started(job.id, 1, resumed_from=None)
    backends.attempts.append(job.id, 1, [(step, step_finished(step)) for step in range(1, 50)])
    backends.logs.append(job.id, 1, 0, b"step 1 loss 4.0\n")
    (tmp_path / "config.json").write_bytes(b"{}")
    backends.storage_for(job).upload(tmp_path / "config.json", "final/config.json")
    file = Artifact(
        path="final/config.json",
        kind="final",
        step=49,
        size=2,
        sha256="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        created_at=datetime.now(UTC),
    )
    backends.attempts.add_artifacts(job.id, 1, [file])
    return job


@pytest.fixture
def over(backends: Backends, document: dict[str, object]) -> Job:
    job = backends.store.create(JobSpec.model_validate(document))
    return backends.store.request_action(job.id, RequestedAction.CANCEL)


def test_the_shell_lines_do_what_they_say(
    backends: Backends, folder: Path, training: Job, over: Job
) -> None:
    text, count = SUBMITTED.subn(rf"\1\nJOB={training.id}", script("sh"))
    assert count == 1
    with serving(backends) as url:
        done = subprocess.run(
            ["/bin/bash", "-uo", "pipefail", "-c", QUIET + text.replace(ADDRESS, url)],
            env={"PATH": "/usr/bin:/bin", "OVER": over.id},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=150,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "event: job.queued" in done.stdout
    assert (folder / "metrics.csv").read_text().startswith("step,loss")
    assert (folder / "model.tar").stat().st_size > 512
    assert (folder / "config.json").read_bytes() == b"{}"


def test_the_python_lines_do_what_they_say(backends: Backends, folder: Path, training: Job) -> None:
    text, count = SUBMITTED.subn(rf"\1\njob = client.jobs.get('{training.id}')", script("python"))
    assert count == 1
    (folder / "spec.json").write_text(training.spec.model_dump_json())
    with serving(backends) as url:
        done = subprocess.run(
            [sys.executable, "-c", text.replace(ADDRESS, url)],
            env={"PYTHONPATH": str(ROOT)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=150,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert (folder / "my-model/final/config.json").read_bytes() == b"{}"
    assert "upload://" in done.stdout
    assert "answer 400" in done.stdout
    assert "invalid_spec [('method.rnk', 'unknown field; did you mean `rank`?')]" in done.stdout
