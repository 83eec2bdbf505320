"""What the processes are given: images, settings, Secrets and probes, and what the docs say."""

import importlib.util
import re
import shlex
import shutil
import textwrap
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from jobs.settings import Settings
from tests.fixtures.manifests import (
    K8S,
    ROOT,
    Manifest,
    container,
    is_ours,
    of_kind,
    our_containers,
    render,
    secrets,
    targets,
    workloads,
)

OPERATIONS = (ROOT / "docs/operations.md").read_text()


def test_the_overlay_that_the_docs_show_renders(kubectl: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", OPERATIONS, re.S)
    (example,) = (block for block in blocks if "kind: Kustomization" in block)
    shutil.copytree(K8S, tmp_path / "k8s")
    overlay = tmp_path / "k8s/overlays/mine"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(textwrap.dedent(example))
    manifests = render(kubectl, overlay)
    assert {c["image"].partition("/")[0] for c in our_containers(manifests)} == {
        "registry.example.com"
    }
    (config,) = of_kind(manifests, "ConfigMap")
    assert config["data"]["RELORA_STORAGE_URL"] == "s3://my-bucket/relora"
    assert "RELORA_AUTHENTICATION" in config["data"]
    assert targets(manifests, "relora-database") == [{"ipBlock": {"cidr": "10.20.30.0/24"}}]


def test_every_file_is_part_of_what_is_deployed() -> None:
    for kustomization in K8S.rglob("kustomization.yaml"):
        content = yaml.safe_load(kustomization.read_text())
        patches = [patch["path"] for patch in content.get("patches", []) if "path" in patch]
        files = {path.name for path in kustomization.parent.glob("*.yaml")}
        assert files - {"kustomization.yaml"} <= {
            *content.get("resources", []),
            *patches,
            *content.get("configurations", []),
        }


def test_the_environment_is_what_the_settings_read(
    manifests: list[Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = of_kind(manifests, "ConfigMap")
    environment = dict(config["data"])
    for manifest in secrets().values():
        environment |= manifest["stringData"]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    shown = {"authentication", "broker_url", "database_url", "storage_url"}
    names = {name.removeprefix("RELORA_").lower() for name in environment if "RELORA_" in name}
    assert names == shown | {"secret_keys"}
    assert {name: getattr(settings, name) for name in shown} == {
        name: environment[f"RELORA_{name.upper()}"] for name in shown
    }
    assert settings.database_url.startswith("postgresql")
    assert settings.storage_url.startswith("s3://")


def test_nobody_is_let_in_without_a_key(manifests: list[Manifest]) -> None:
    (config,) = of_kind(manifests, "ConfigMap")
    assert config["data"]["RELORA_AUTHENTICATION"] == "required"
    api = workloads(manifests)["relora-api"]
    references = [entry.get("configMapRef", {}).get("name") for entry in container(api)["envFrom"]]
    assert config["metadata"]["name"] in references


def test_the_first_key_is_made_in_a_pod_of_the_api(manifests: list[Manifest]) -> None:
    commands = re.findall(r"kubectl -n (\S+) exec deployment/(\S+) -- \\\s+(.*)", OPERATIONS)
    (namespace, deployment, command) = commands[0]
    assert namespace == of_kind(manifests, "Namespace")[0]["metadata"]["name"]
    assert workloads(manifests)[deployment]["kind"] == "Deployment"
    python, option, module, *_ = shlex.split(command)
    assert (python, option) == ("python", "-m")
    assert importlib.util.find_spec(module) is not None


def test_the_broker_is_the_service_of_valkey_and_its_password(manifests: list[Manifest]) -> None:
    secret = secrets()["relora-broker"]["stringData"]
    broker = urlsplit(secret["RELORA_BROKER_URL"])
    services = {s["metadata"]["name"]: s["spec"] for s in of_kind(manifests, "Service")}
    assert broker.port == services[str(broker.hostname)]["ports"][0]["port"]
    assert broker.password == secret["VALKEYCLI_AUTH"]
    valkey = container(workloads(manifests)["relora-valkey"])
    assert valkey["args"][:2] == ["--requirepass", "$(VALKEYCLI_AUTH)"]
    reference = valkey["env"][0]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "relora-broker", "key": "VALKEYCLI_AUTH"}


def test_a_process_gets_the_settings_and_secrets_that_it_reads_and_no_others(
    manifests: list[Manifest],
) -> None:
    (config,) = of_kind(manifests, "ConfigMap")
    given = {
        name: [ref["name"] for entry in container(workload)["envFrom"] for ref in entry.values()]
        for name, workload in workloads(manifests).items()
        if is_ours(workload)
    }
    everything = [config["metadata"]["name"], *secrets()]
    assert given == {
        "relora-api": everything,
        "relora-worker": everything,
        "relora-generator": [name for name in everything if name != "relora-broker"],
        "relora-reaper": everything,  # it deletes files of jobs that have S3 keys of their own
        "relora-migrate-0-2-0": ["relora-database"],
    }


def test_a_process_is_a_program_of_the_project(manifests: list[Manifest]) -> None:
    for ours in our_containers(manifests):
        option = "-m" if ours["args"][0] == "python" else "--app"
        module = ours["args"][ours["args"].index(option) + 1]
        assert importlib.util.find_spec(module) is not None
        assert "command" not in ours  # the image's entry point, tini, stays


def test_the_images_carry_the_version_of_the_project(manifests: list[Manifest]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {ours["image"] for ours in our_containers(manifests)}
    assert images == {f"relora-server:{version}", f"relora-worker:{version}"}
    assert set(re.findall(r"relora-(?:server|worker):(\d[\w.]*)", OPERATIONS)) == {version}


def test_the_probes_ask_routes_that_exist(
    manifests: list[Manifest], openapi: dict[str, Any]
) -> None:
    api = container(workloads(manifests)["relora-api"])
    paths = {name: api[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")}
    assert paths == {"liveness": "/healthz", "readiness": "/readyz"}
    assert set(paths.values()) <= openapi["paths"].keys()
    assert api["args"][-1] == str(api["ports"][0]["containerPort"])
