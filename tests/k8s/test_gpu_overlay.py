"""Workers on GPUs."""

from jobs.schemas.resources import Resources
from tests.fixtures.manifests import Manifest, container, pod


def test_a_gpu_worker_has_the_gpus_that_a_job_asks_for_by_default(gpu_worker: Manifest) -> None:
    limits = container(gpu_worker)["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == Resources().gpus


def test_a_gpu_worker_may_run_on_nodes_that_are_kept_for_gpus(gpu_worker: Manifest) -> None:
    assert pod(gpu_worker)["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


def test_a_gpu_worker_has_shared_memory_within_its_limit(gpu_worker: Manifest) -> None:
    (mount,) = (m for m in container(gpu_worker)["volumeMounts"] if m["mountPath"] == "/dev/shm")  # noqa: S108 # in the container
    (volume,) = (v for v in pod(gpu_worker)["volumes"] if v["name"] == mount["name"])
    assert volume["emptyDir"]["medium"] == "Memory"
    limit = container(gpu_worker)["resources"]["limits"]["memory"]
    assert int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) < int(limit.removesuffix("Gi"))


def test_a_gpu_worker_has_time_to_save_and_upload_before_it_must_leave(
    gpu_worker: Manifest,
) -> None:
    assert pod(gpu_worker)["terminationGracePeriodSeconds"] >= 1800
