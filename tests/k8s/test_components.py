"""The components, which an overlay adds."""

from pathlib import Path

import kubernetes_validate
import pytest

from jobs.settings import Settings
from tests.fixtures.manifests import (
    budgets,
    container,
    of_kind,
    pod,
    selects,
    with_component,
    workloads,
)

OLDEST_KUBERNETES = "1.30"  # `preStop.sleep`


def test_the_ingress_does_not_hold_back_events(kubectl: str, tmp_path: Path) -> None:
    manifests = with_component(kubectl, tmp_path, "ingress")
    (ingress,) = of_kind(manifests, "Ingress")
    kubernetes_validate.validate(ingress, OLDEST_KUBERNETES, strict=True)
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    services = {s["metadata"]["name"]: s["spec"] for s in of_kind(manifests, "Service")}
    service = services[path["backend"]["service"]["name"]]
    assert path["backend"]["service"]["port"]["name"] in {p["name"] for p in service["ports"]}


def test_workers_on_demand_run_one_job_in_each_pod(kubectl: str, tmp_path: Path) -> None:
    manifests = with_component(kubectl, tmp_path, "on-demand")
    (scaled,) = of_kind(manifests, "ScaledJob")
    as_job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": scaled["metadata"],
        "spec": scaled["spec"]["jobTargetRef"],
    }
    kubernetes_validate.validate(as_job, OLDEST_KUBERNETES, strict=True)
    deployment = workloads(manifests)["relora-worker"]
    assert deployment["spec"]["replicas"] == 0
    ours, other = container(as_job), container(deployment)
    assert ours["image"] == other["image"]
    assert ours["securityContext"] == other["securityContext"]
    assert ours["envFrom"] == other["envFrom"]
    assert ours["livenessProbe"] == other["livenessProbe"]
    assert pod(as_job)["initContainers"] == pod(deployment)["initContainers"]
    environment = {entry["name"]: entry.get("value") for entry in ours["env"]}
    assert environment["RELORA_ONE_JOB"] == "true"
    for selector in (
        budgets(manifests)["relora-worker"]["spec"]["selector"],
        *(m["spec"]["podSelector"] for m in of_kind(manifests, "NetworkPolicy")),
    ):
        assert selects(selector, as_job) == selects(selector, deployment)


def test_workers_on_demand_follow_the_queued_gpus_of_their_class(
    kubectl: str, tmp_path: Path
) -> None:
    (scaled,) = of_kind(with_component(kubectl, tmp_path, "on-demand"), "ScaledJob")
    only = container({"spec": scaled["spec"]["jobTargetRef"]})
    gpus = only["resources"]["limits"]["nvidia.com/gpu"]
    (gpu_class,) = (entry["value"] for entry in only["env"] if entry["name"] == "RELORA_GPU_CLASS")
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["query"] == (
        f'max(relora_queued_gpus{{gpus="{gpus}",class="{gpu_class}"}}) / {gpus}'
    )
    assert scaled["spec"]["minReplicaCount"] == 0
    assert scaled["spec"]["scalingStrategy"] == {"strategy": "accurate"}


@pytest.mark.parametrize(
    ("component", "policy", "namespace"),
    [
        ("ingress", "relora-from-ingress", "ingress-nginx"),
        ("monitoring", "relora-from-monitoring", "monitoring"),
    ],
)
def test_a_component_lets_another_namespace_reach_the_api(
    kubectl: str, tmp_path: Path, component: str, policy: str, namespace: str
) -> None:
    manifests = with_component(kubectl, tmp_path, component)
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    assert selects(policies[policy]["podSelector"], workloads(manifests)["relora-api"])
    (rule,) = policies[policy]["ingress"]
    (source,) = rule["from"]
    (expression,) = source["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == [namespace]


def test_the_shared_cache_is_where_workers_keep_the_caches_of_projects(
    kubectl: str, tmp_path: Path
) -> None:
    manifests = with_component(kubectl, tmp_path, "shared-cache")
    (claim,) = of_kind(manifests, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    worker = workloads(manifests)["relora-worker"]
    (volume,) = (v for v in pod(worker)["volumes"] if "persistentVolumeClaim" in v)
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container(worker)["volumeMounts"]}
    settings = Settings(data_dir=Path(mounts["data"]))
    assert mounts[volume["name"]] == str(settings.cache_dir)


def test_no_pod_is_evicted_for_a_worker_and_no_worker_for_an_ordinary_pod(
    kubectl: str, tmp_path: Path
) -> None:
    manifests = with_component(kubectl, tmp_path, "priority")
    (priority,) = of_kind(manifests, "PriorityClass")
    assert priority["value"] > 0  # that of pods without a class
    assert priority["preemptionPolicy"] == "Never"
    workers = workloads(manifests)["relora-worker"]
    assert pod(workers)["priorityClassName"] == priority["metadata"]["name"]


def test_a_quota_leaves_room_for_what_the_manifests_start(kubectl: str, tmp_path: Path) -> None:
    manifests = with_component(kubectl, tmp_path, "quota")
    (quota,) = of_kind(manifests, "ResourceQuota")
    started = sum(w["spec"].get("replicas", 1) for w in workloads(manifests).values())
    assert started < int(quota["spec"]["hard"]["pods"])
