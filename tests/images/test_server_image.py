"""The image of the server, built by the Dockerfile, and run as its pods run it."""

import json
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.containers import ROOT, Podman, build_target, checkout
from tests.fixtures.manifests import K8S, Manifest, container, of_kind, pod, render, workloads
from tests.fixtures.pods import NO_NETWORK, Volumes, confined, run_to_end

MEGABYTE = 1_000_000
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_image_adds_at_most_200_mb_to_its_base(podman: Podman, server_image: str) -> None:
    image, base = (
        int(podman.inspect(name, "{{.Size}}"))
        for name in (server_image, "localhost/relora-python-stand-in")
    )
    assert image - base < 200 * MEGABYTE


def test_the_image_says_what_it_is(podman: Podman, server_image: str) -> None:
    labels = json.loads(podman.inspect(server_image, "{{json .Config.Labels}}"))
    assert labels["org.opencontainers.image.title"] == "relora-server"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_a_new_version_is_built_on_the_packages_of_the_old_one(
    podman: Podman, server_image: str, tmp_path: Path
) -> None:
    context = checkout(tmp_path)
    project = context / "pyproject.toml"
    project.write_text(project.read_text().replace(f'"{VERSION}"', '"9.9.9"'))
    bumped = f"{server_image}:bumped"
    printed = build_target(podman, context, "server", bumped)
    assert re.search(r"--requirement server.txt\n--> Using cache", printed)
    installed = "from importlib.metadata import version; print(version('relora'))"
    run = ["run", "--rm", f"--network={NO_NETWORK}", bumped]
    assert podman(*run, "python", "-c", installed) == "9.9.9"


@pytest.fixture(scope="module")
def api(
    podman: Podman, server_image: str, kubectl: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run the pod of the API, without any network, and so on SQLite. Return the container."""
    manifests = render(kubectl, K8S / "base")
    of_pod = workloads(manifests)
    deployment = of_pod["relora-api"]
    migration = of_pod[f"relora-migrate-{VERSION.replace('.', '-')}"]
    volumes = Volumes(tmp_path_factory.mktemp("volumes"))

    def options(workload: Manifest, one: Manifest) -> list[str]:
        return [*confined(workload, one, volumes), f"--network={NO_NETWORK}"]

    run_to_end(podman, options(migration, container(migration)), server_image, container(migration))
    for init in pod(deployment)["initContainers"]:
        run_to_end(podman, options(deployment, init), server_image, init)
    (config,) = of_kind(manifests, "ConfigMap")
    only = container(deployment)
    environment = [f"--env={name}={value}" for name, value in config["data"].items()]
    name = podman(
        *("run", "--detach", "--pull=never", *environment),
        *options(deployment, only),
        *(server_image, *only["args"]),
    )
    yield name
    podman("rm", "--force", "--time=0", name)


ASK = """
import json, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

path, key = sys.argv[1:]
request = Request("http://127.0.0.1:8000" + path, headers={"Authorization": "Bearer " + key})
try:
    answer = urlopen(request, timeout=10)
except HTTPError as error:
    answer = error
print(json.dumps([answer.status, json.load(answer)]))
"""


def ask(podman: Podman, api: str, path: str, key: str = "") -> tuple[int, Any]:
    status, answer = json.loads(podman("exec", api, "python", "-c", ASK, path, key))
    return status, answer


def wait_until_healthy(podman: Podman, api: str) -> None:
    deadline = time.monotonic() + 60
    while podman.start("healthcheck", "run", api).returncode:
        assert time.monotonic() < deadline, podman("logs", api)
        time.sleep(0.2)


def test_the_api_runs_without_rights_and_on_a_root_that_it_cannot_change(
    podman: Podman, api: str
) -> None:
    wait_until_healthy(podman, api)
    status = dict(
        line.split(":\t")
        for line in podman("exec", api, "cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert (status["CapEff"], status["CapBnd"]) == ("0" * 16, "0" * 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    for folder, writable in {"/": False, "/build": False, "/tmp": True}.items():  # noqa: S108
        touched = podman.start("exec", api, "touch", f"{folder}/file")
        assert (touched.returncode == 0) == writable, folder


def test_the_api_is_ready_for_its_database_and_says_what_else_is_down(
    podman: Podman, api: str
) -> None:
    wait_until_healthy(podman, api)
    status, answer = ask(podman, api, "/readyz")
    assert (status, answer["status"]) == (200, "degraded")


def test_the_first_key_opens_the_api(podman: Podman, api: str) -> None:
    wait_until_healthy(podman, api)
    assert ask(podman, api, "/v1/jobs")[0] == 401
    create = ["python", "-m", "jobs.admin.keys", "create", "--name", "admin", "--scope", "operator"]
    printed = podman("exec", api, *create)
    (key,) = re.findall(r"rlk_\w+", printed)
    assert ask(podman, api, "/v1/jobs", key)[0] == 200
    assert key not in podman("logs", api)


def test_the_api_shows_the_dashboard(podman: Podman, api: str) -> None:
    wait_until_healthy(podman, api)
    command = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8000/').read())"
    assert "<title>" in podman("exec", api, "python", "-c", command)


def test_the_api_stops_at_once_when_it_is_asked_to(podman: Podman, api: str) -> None:
    wait_until_healthy(podman, api)
    began = time.monotonic()
    podman("stop", "--time=30", api)
    assert time.monotonic() - began < 10
    assert podman.inspect(api, "{{.State.ExitCode}}") in {"0", "143"}
    podman("start", api)
    wait_until_healthy(podman, api)
