"""The Helm chart gives the same objects as kustomize."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.fixtures.manifests import (
    K8S,
    ROOT,
    Manifest,
    budgets,
    container,
    of_kind,
    pod,
    render,
    selects,
    targets,
    template,
    workloads,
)

COMPONENTS = sorted(path.name for path in (K8S / "components").iterdir())
DIGEST = "sha256:" + 64 * "a"


def test_the_chart_passes_the_strict_lint(helm: str) -> None:
    result = subprocess.run([helm, "lint", "--strict", K8S], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("overlay", "options"),
    [
        pytest.param({"resources": ["../../base"]}, [], id="as it is"),
        pytest.param({"resources": ["../gpu"]}, ["gpu.enabled=true"], id="gpu"),
        *(
            pytest.param(
                {"resources": ["../../base"], "components": [f"../../components/{name}"]},
                [f"components.{name}=true"],
                id=name,
            )
            for name in COMPONENTS
        ),
        pytest.param(
            {
                "resources": ["../gpu"],
                "components": [f"../../components/{name}" for name in COMPONENTS],
            },
            ["gpu.enabled=true", *(f"components.{name}=true" for name in COMPONENTS)],
            id="everything",
        ),
        pytest.param(
            {
                "resources": ["../../base"],
                "images": [
                    {"name": "relora-server", "newName": "r.example/s", "digest": DIGEST},
                ],
            },
            ["images.relora-server.name=r.example/s", f"images.relora-server.digest={DIGEST}"],
            id="an image by its digest",
        ),
        pytest.param(
            {
                "resources": ["../../base"],
                "images": [{"name": "relora-server", "newName": "r.example/s", "newTag": "1"}],
                "replicas": [{"name": "relora-worker", "count": 4}],
                "configMapGenerator": [
                    {
                        "name": "relora-config",
                        "namespace": "relora",
                        "behavior": "merge",
                        "literals": [
                            "RELORA_STORAGE_URL=s3://my-bucket/relora",
                            "RELORA_MAX_PRIORITY=7",
                        ],
                    }
                ],
            },
            [
                "images.relora-server.name=r.example/s",
                "images.relora-server.tag=1",
                "replicas.relora-worker=4",
                "config.RELORA_STORAGE_URL=s3://my-bucket/relora",
                "config.RELORA_MAX_PRIORITY=7",
            ],
            id="images, replicas and settings",
        ),
    ],
)
def test_equal_settings_give_equal_objects_from_helm_and_kustomize(
    helm: str, kubectl: str, tmp_path: Path, overlay: Manifest, options: list[str]
) -> None:
    shutil.copytree(K8S, tmp_path / "k8s")
    mine = tmp_path / "k8s/overlays/mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    chosen = [part for option in options for part in ("--set", option)]
    assert comparable(template(helm, *chosen)) == comparable(render(kubectl, mine))


def test_the_chart_names_the_database_and_patches_any_object(helm: str, tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "database": {"to": [{"ipBlock": {"cidr": "10.20.30.0/24"}}]},
        "components": {"ingress": True},
        "patches": {
            "Ingress/relora-api": {"spec": {"ingressClassName": "traefik"}},
            "Deployment/relora-worker": {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [
                                {"name": "worker", "resources": {"requests": {"cpu": "4"}}}
                            ]
                        }
                    }
                }
            },
        },
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    manifests = template(helm, "--values", str(tmp_path / "values.yaml"))
    assert targets(manifests, "relora-database") == values["database"]["to"]
    (ingress,) = of_kind(manifests, "Ingress")
    assert ingress["spec"]["ingressClassName"] == "traefik"
    worker = container(workloads(manifests)["relora-worker"])
    assert worker["resources"]["requests"]["cpu"] == "4"
    assert worker["resources"]["requests"]["memory"] == "4Gi"
    assert worker["args"][0] == "celery"


def test_each_pool_of_workers_is_a_deployment_of_its_own(helm: str, tmp_path: Path) -> None:
    h100 = {"name": "h100", "gpus": 8, "class": "h100", "replicas": 2, "cpu": 64, "memory": "512Gi"}
    small = {"name": "small", "gpus": 1, "replicas": 4, "cpu": "500m", "memory": "32Gi"}
    h100["nodeSelector"] = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"pools": [h100, small]}))
    manifests = template(helm, "--values", str(tmp_path / "values.yaml"))
    found = workloads(manifests)
    pools = {name: found[f"relora-worker-{name}"] for name in ("h100", "small")}
    assert "relora-worker" not in found
    for name, workload in pools.items():
        kubernetes_validate.validate(workload, "1.30", strict=True)
        selector = workload["spec"]["selector"]
        assert [one for one, other in found.items() if selects(selector, other)] == [
            f"relora-worker-{name}"
        ]
        assert selects(budgets(manifests)["relora-worker"]["spec"]["selector"], workload)
        assert {"name": "shm", "mountPath": "/dev/shm"} in container(workload)["volumeMounts"]  # noqa: S108
    assert pod(pools["h100"])["nodeSelector"] == h100["nodeSelector"]
    limits = [container(workload)["resources"]["limits"] for workload in pools.values()]
    assert [limit["nvidia.com/gpu"] for limit in limits] == [8, 1]
    classes = [
        [entry["value"] for entry in container(w)["env"] if entry["name"] == "RELORA_GPU_CLASS"]
        for w in pools.values()
    ]
    assert classes == [["h100"], []]
    assert [workload["spec"]["replicas"] for workload in pools.values()] == [2, 4]


def test_the_chart_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((K8S / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def comparable(manifests: list[Manifest]) -> dict[tuple[str, str], Any]:
    """Return the objects by kind and name, without order in lists and the hash of the settings.

    The namespace itself is left out, because Helm makes it.
    """
    found = {
        (manifest["kind"], _without_hash(manifest["metadata"]["name"])): _unordered(manifest)
        for manifest in manifests
        if manifest["kind"] != "Namespace"
    }
    assert len(found) == len(manifests) - len(of_kind(manifests, "Namespace"))
    return found


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unordered(part) for key, part in value.items()}
    if isinstance(value, list):
        parts = [_unordered(part) for part in value]
        named = all(isinstance(part, dict) and "name" in part for part in parts)
        return sorted(parts, key=lambda part: str(part["name"])) if named else parts
    return _without_hash(value) if isinstance(value, str) else value


def _without_hash(name: str) -> str:
    return re.sub(r"^relora-config-\w{10}$", "relora-config", name)
