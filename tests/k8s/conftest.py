"""What the tests of the manifests read."""

import pytest

from tests.fixtures.manifests import K8S, Manifest, render, workloads


@pytest.fixture(scope="module", params=["base", "overlays/gpu"])
def manifests(request: pytest.FixtureRequest, kubectl: str) -> list[Manifest]:
    return render(kubectl, K8S / request.param)


@pytest.fixture(scope="module")
def gpu_worker(kubectl: str) -> Manifest:
    return workloads(render(kubectl, K8S / "overlays/gpu"))["relora-worker"]
