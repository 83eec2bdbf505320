"""Every object of every option, against the schemas of Kubernetes, KEDA and Prometheus."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest

from tests.fixtures.manifests import K8S, ROOT, Manifest, secrets, template
from tests.fixtures.tiers import missing

OLDEST_KUBERNETES = "1.30"  # `preStop.sleep`
OPTIONS = ["gpu.enabled", *(f"components.{path.name}" for path in (K8S / "components").iterdir())]
# The types in TypeScript of the objects that are not Kubernetes' own, in packages of npm.
TYPES = {
    "keda.sh/v1alpha1": "@kubernetes-models/keda",
    "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator",
}


@pytest.fixture(scope="module")
def kubernetes_models() -> Path:
    folder = ROOT / "build/kubernetes-models/node_modules"
    return folder if folder.exists() else missing(f"{folder} is missing; make test-system")


@pytest.fixture(scope="module", params=[*OPTIONS, "everything"])
def objects(request: pytest.FixtureRequest, helm: str) -> list[Manifest]:
    chosen = OPTIONS if request.param == "everything" else [request.param]
    return template(helm, *(part for option in chosen for part in ("--set", f"{option}=true")))


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_kubernetes_accepts_every_object(objects: list[Manifest], version: str) -> None:
    for manifest in [*objects, *secrets().values()]:
        if manifest["apiVersion"] not in TYPES:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_keda_and_the_operator_know_every_field_of_their_objects(
    objects: list[Manifest], kubernetes_models: Path, tmp_path: Path
) -> None:
    theirs = [manifest for manifest in objects if manifest["apiVersion"] in TYPES]
    assert type_errors(theirs, kubernetes_models, tmp_path) == ""


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"minReplicaCounts": 0}, "minReplicaCounts\"' does not exist"),
        ({"minReplicaCount": "0"}, "Type 'string' is not assignable to type 'number'"),
    ],
)
def test_a_wrong_field_is_found(
    helm: str, kubernetes_models: Path, tmp_path: Path, changes: Manifest, error: str
) -> None:
    rendered = template(helm, "--set", "components.on-demand=true")
    (scaled,) = (manifest for manifest in rendered if manifest["kind"] == "ScaledJob")
    scaled["spec"] |= changes
    assert error in type_errors([scaled], kubernetes_models, tmp_path)


def type_errors(objects: list[Manifest], kubernetes_models: Path, folder: Path) -> str:
    """Return what TypeScript finds wrong with objects, as literals of their types."""
    if not objects:
        return ""
    lines = []
    for number, manifest in enumerate(objects):
        version, kind = manifest["apiVersion"], manifest["kind"]
        module = kubernetes_models / TYPES[version] / version / kind
        lines.append(f'import type {{ I{kind} as Type{number} }} from "{module}";')
        lines.append(f"export const object{number}: Type{number} = {json.dumps(manifest)};")
    source = folder / "objects.ts"
    source.write_text("\n".join(lines))
    compiler = ["tsc", "--noEmit", "--strict", "--module", "esnext"]
    compiler += ["--moduleResolution", "bundler", "--skipLibCheck", str(source)]
    npm = [str(ROOT / "dashboard/npm"), sys.executable]
    ended = subprocess.run(
        [*npm, "exec", "--offline", "--", *compiler], capture_output=True, text=True
    )
    return ended.stdout + ended.stderr
