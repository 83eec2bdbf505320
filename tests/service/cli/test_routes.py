"""What the API can do, a person at a terminal can: each command is used, the server counts."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.core import TyperGroup
from typer.main import get_group

from jobs.backends import Backends
from jobs.schemas.job import Job
from jobs.schemas.status import JobStatus
from service.cli import app
from tests.service.cli.conftest import Relora
from tests.service.files import AddFile, play_generator
from tests.service.receiver import SIGNING_SECRET, Receiver

Route = tuple[str, str]
Use = Callable[..., Any]

NOT_REACHED = {
    ("GET", "/healthz"): "a probe asks it",
    ("GET", "/readyz"): "a probe asks it",
    ("GET", "/metrics"): "Prometheus asks it",
    ("GET", "/v1/jobs/{job_id}/progress"): "`jobs get` shows the same; `jobs wait` waits",
    ("GET", "/v1/jobs/{job_id}/model.tar"): "`jobs download` fetches the same files, verified",
    ("GET", "/v1/events"): "the dashboard and `client.jobs.follow()` listen to it",
    ("GET", "/v1/metrics"): "the dashboard draws several jobs with it",
    ("GET", "/v1/session"): "the dashboard shows with it who is signed in",
    ("POST", "/v1/session"): "a browser signs in with it; a terminal has the key itself",
    ("DELETE", "/v1/session"): "a browser signs out with it",
    ("OPTIONS", "/v1/datasets"): "other tus clients ask it what the service supports",
}
NO_ROUTE = {
    "up": "starts the service",
    "doctor": "works on the parts of the service",
    "gc": "works on the database and the storage",
    "import": "reads a file and prints a spec",
}


@pytest.fixture
def used() -> list[str]:
    """The commands that were used."""
    return []


@pytest.fixture
def use(relora: Relora, used: list[str]) -> Use:
    """Runs a command that succeeds, and gives the first thing that it printed in JSON."""

    def run(line: str, *more: str | Path, given: str | None = None) -> Any:
        used.append(line)
        result = relora(*line.split(), *more, "--json", given=given)
        assert result.exit_code == 0, (line, more, result.output)
        first, _ = json.JSONDecoder().raw_decode(result.stdout or "null")
        return first

    return run


@pytest.fixture
def finished(backends: Backends, running: Job, add_file: AddFile) -> Job:
    """A job that is over, with a model and a log."""
    add_file("final/config.json", b"{}")
    add_file("logs/attempt-1.log", b"hello\n")
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    return backends.store.get(running.id)


@pytest.mark.slow
def test_every_route_is_reached_by_a_command_or_there_is_a_reason(
    http: httpx.Client,
    openapi: dict[str, Any],
    backends: Backends,
    relora: Relora,
    use: Use,
    used: list[str],
    finished: Job,
    receiver: Receiver,
    spec_file: Path,
    tmp_path: Path,
) -> None:
    for name in ("presets", "recipes"):
        use(f"{name} show", use(f"{name} list")["name"])
    use("queue")
    use("workers")
    _steer(use, spec_file)
    _profile(use, backends, spec_file)
    _read(use, finished, tmp_path)
    assert relora("jobs", "metrics", finished.id, "--csv").exit_code == 0
    _ask_the_model(use, backends, finished)
    _compare(use, finished, spec_file)
    _upload(use, tmp_path)
    _notify(use, receiver)
    _administer(use)
    assert reached(http).isdisjoint(NOT_REACHED)
    assert reached(http) | NOT_REACHED.keys() == routes(openapi)
    assert set(used) | NO_ROUTE.keys() == set(commands())


def _steer(use: Use, spec_file: Path) -> None:
    job = use("jobs submit", spec_file)["id"]
    for command in ("get", "change", "pause", "resume", "cancel", "retry", "fork", "cancel"):
        use(f"jobs {command}", job, *(["--priority", "5"] if command == "change" else []))
    use("jobs list")
    use("jobs delete", job)
    use("estimate", spec_file)


def _profile(use: Use, backends: Backends, spec_file: Path) -> None:
    job = use("jobs submit", spec_file)["id"]
    assert backends.attempts.claim(job, worker="w1", lease_seconds=60)
    assert use("jobs profile", job, "--steps", "3")["steps"] == 3


def _read(use: Use, job: Job, folder: Path) -> None:
    for command in ("follow", "wait", "events", "logs", "files", "checkpoints", "metrics"):
        use(f"jobs {command}", job.id)
    use("jobs download", job.id, "--to", folder)


def _ask_the_model(use: Use, backends: Backends, job: Job) -> None:
    generator = threading.Thread(target=play_generator, args=(backends,))
    generator.start()
    made = use("jobs generate", job.id, "In the beginning")
    generator.join()
    assert use("jobs generations", job.id) == made


def _compare(use: Use, job: Job, spec_file: Path) -> None:
    use("compare", job.id)
    sweep = use("sweep submit", spec_file, "--grid", "method=full,lora")["id"]
    use("sweep list")
    use("sweep get", sweep)
    use("sweep cancel", sweep)


def _upload(use: Use, folder: Path) -> None:
    (folder / "words.jsonl").write_text('{"text": "In the beginning"}\n')
    dataset = use("datasets upload", folder / "words.jsonl")
    assert use("datasets list") == use("datasets get", dataset["id"]) == dataset
    use("datasets delete", dataset["id"])


def _notify(use: Use, receiver: Receiver) -> None:
    use("secrets set", "key", given=SIGNING_SECRET)
    use("secrets list")
    webhook = use("webhooks create", receiver.url, "--secret", "key")
    assert use("webhooks list") == use("webhooks get", webhook["id"]) == webhook
    delivery = use("webhooks test", webhook["id"])
    assert use("webhooks deliveries", webhook["id"])["id"] == delivery["id"]
    use("webhooks redeliver", webhook["id"], delivery["id"])
    use("webhooks delete", webhook["id"])
    use("secrets delete", "key")


def _administer(use: Use) -> None:
    use("projects create", "speech", "--quota", "gpus=8")
    use("projects list")
    use("projects get", "speech")
    use("projects change", "speech", "--quota", "gpus=none")
    key = use("keys create", "nightly")["id"]
    assert use("keys list") == use("keys get", key)
    use("keys revoke", key)


def routes(openapi: dict[str, Any]) -> set[Route]:
    return {(method.upper(), path) for path, item in openapi["paths"].items() for method in item}


def reached(http: httpx.Client) -> set[Route]:
    """The routes that answered well, by the server's own count, but for what the test asks."""
    counted = re.findall(
        r'request_seconds_count\{method="(\w+)",route="([^"]+)",status="2',
        http.get("/metrics").text,
    )
    mine = {("GET", "/metrics")}
    return {(method, path.replace(":path}", "}")) for method, path in counted} - mine


def commands() -> Iterator[str]:
    groups: list[tuple[str, TyperGroup]] = [("", get_group(app))]
    while groups:
        path, group = groups.pop()
        for name, command in group.commands.items():
            if isinstance(command, TyperGroup):
                groups.append((f"{path}{name} ", command))
            else:
                yield path + name
