"""The workloads as `kubectl` renders them, read as the cluster and an operator would."""

import os
import subprocess
from pathlib import Path

from service.http.upload_buffer import SPOOL_BYTES
from tests.fixtures.manifests import (
    ROOT,
    Manifest,
    budgets,
    container,
    in_bytes,
    is_ours,
    of_kind,
    our_containers,
    pod,
    selects,
    workloads,
)

HOME = "/var/lib/relora"


def test_a_workload_selects_its_own_pods_alone(manifests: list[Manifest]) -> None:
    for name, workload in workloads(manifests).items():
        if workload["kind"] != "Job":  # Kubernetes gives a Job a selector of its own
            chosen = [
                other
                for other, candidate in workloads(manifests).items()
                if selects(workload["spec"]["selector"], candidate)
            ]
            assert chosen == [name]


def test_a_service_leads_to_the_port_of_its_pods(manifests: list[Manifest]) -> None:
    for service in of_kind(manifests, "Service"):
        target = workloads(manifests)[service["metadata"]["name"]]
        assert selects({"matchLabels": service["spec"]["selector"]}, target)
        ports = {port["name"] for port in container(target)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_nothing_leads_in_from_outside_the_cluster(manifests: list[Manifest]) -> None:
    assert of_kind(manifests, "Ingress") == []
    types = {service["spec"].get("type", "ClusterIP") for service in of_kind(manifests, "Service")}
    assert types == {"ClusterIP"}


def test_a_disruption_leaves_an_api_running(manifests: list[Manifest]) -> None:
    budget = budgets(manifests)["relora-api"]
    api = workloads(manifests)["relora-api"]
    assert selects(budget["spec"]["selector"], api)
    assert 1 <= budget["spec"]["minAvailable"] < api["spec"]["replicas"]


def test_nothing_but_an_operator_ends_the_pod_of_a_worker(manifests: list[Manifest]) -> None:
    worker, budget = workloads(manifests)["relora-worker"], budgets(manifests)["relora-worker"]
    assert selects(budget["spec"]["selector"], worker)
    assert budget["spec"]["maxUnavailable"] == 0
    assert worker["spec"]["template"]["metadata"]["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }


def test_a_drain_takes_pods_that_are_not_ready(manifests: list[Manifest]) -> None:
    for budget in budgets(manifests).values():
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_a_rollout_waits_for_workers_to_save_what_they_train(manifests: list[Manifest]) -> None:
    worker = workloads(manifests)["relora-worker"]
    grace = pod(worker)["terminationGracePeriodSeconds"]
    assert grace >= 600
    assert worker["spec"]["progressDeadlineSeconds"] > grace


def test_no_process_starts_before_the_database_has_the_tables_of_its_version(
    manifests: list[Manifest],
) -> None:
    for name, workload in workloads(manifests).items():
        if is_ours(workload) and workload["kind"] == "Deployment":
            (wait,) = pod(workload)["initContainers"]
            assert wait["args"] == ["python", "-m", "jobs.admin.migrate", "--wait"], name
            assert wait["image"] == container(workloads(manifests)["relora-api"])["image"]
            assert wait["securityContext"] == container(workload)["securityContext"]


def test_a_new_version_has_a_new_migration(manifests: list[Manifest]) -> None:
    (migration,) = of_kind(manifests, "Job")
    version = container(migration)["image"].partition(":")[2]
    assert migration["metadata"]["name"] == f"relora-migrate-{version.replace('.', '-')}"
    assert "ttlSecondsAfterFinished" not in migration["spec"]  # a GitOps tool would make it again


def test_a_process_that_hangs_is_restarted(manifests: list[Manifest], tmp_path: Path) -> None:
    for name in ("relora-worker", "relora-generator", "relora-reaper"):
        alive = tmp_path / f"{name.removeprefix('relora-')}.alive"
        probe = container(workloads(manifests)[name])["livenessProbe"]
        command = [part.replace(HOME, str(tmp_path)) for part in probe["exec"]["command"]]
        alive.touch()
        assert subprocess.run(command).returncode == 0
        os.utime(alive, times=(0, 0))
        assert subprocess.run(command).returncode == 1


def test_the_processes_of_a_worker_share_the_cores_that_its_pod_requests(
    manifests: list[Manifest],
) -> None:
    (cores,) = container(workloads(manifests)["relora-worker"])["env"]
    assert cores["name"] == "RELORA_CPU_CORES"
    assert cores["valueFrom"]["resourceFieldRef"]["resource"] == "requests.cpu"


def test_valkey_has_memory_for_its_buffers_and_fails_a_probe_when_it_answers_an_error(
    manifests: list[Manifest],
) -> None:
    valkey = container(workloads(manifests)["relora-valkey"])
    maxmemory = valkey["args"][valkey["args"].index("--maxmemory") + 1]
    assert in_bytes(valkey["resources"]["limits"]["memory"]) >= 2 * in_bytes(
        maxmemory.replace("mb", "Mi")
    )
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert valkey[probe]["exec"]["command"] == ["valkey-cli", "-e", "ping"]


def test_a_pod_has_no_more_rights_than_it_needs(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests).values():
        spec = pod(workload)
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False  # Services would add RELORA_ variables
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container(workload)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }


def test_a_container_says_what_it_needs(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests).values():
        resources = container(workload)["resources"]
        assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        assert resources["limits"].keys() >= {"memory", "ephemeral-storage"}


def test_a_pod_reserves_the_disk_that_its_volumes_may_fill(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests).values():
        volumes = [v["emptyDir"] for v in pod(workload).get("volumes", []) if "emptyDir" in v]
        on_disk = [in_bytes(v["sizeLimit"]) for v in volumes if v.get("medium") != "Memory"]
        resources = container(workload)["resources"]
        reserved = in_bytes(resources["requests"]["ephemeral-storage"])
        assert sum(on_disk) <= reserved < in_bytes(resources["limits"]["ephemeral-storage"])


def test_what_is_mounted_is_a_volume_of_the_pod(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests).values():
        volumes = [volume["name"] for volume in pod(workload).get("volumes", [])]
        volumes += [
            claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])
        ]
        mounts = [mount["name"] for mount in container(workload).get("volumeMounts", [])]
        assert sorted(mounts) == sorted(volumes)


def test_the_uploads_under_way_fit_into_the_disk_of_the_api(manifests: list[Manifest]) -> None:
    api = pod(workloads(manifests)["relora-api"])
    (limit,) = (v["emptyDir"]["sizeLimit"] for v in api["volumes"] if v["name"] == "tmp")
    assert in_bytes(limit) > 1.2 * SPOOL_BYTES


def test_a_process_can_write_where_its_image_writes(manifests: list[Manifest]) -> None:
    assert f"RELORA_DATA_DIR={HOME}" in (ROOT / "Dockerfile").read_text()
    for ours in our_containers(manifests):
        assert {HOME, "/tmp"} <= {mount["mountPath"] for mount in ours["volumeMounts"]}  # noqa: S108 # in the container


def test_the_pods_run_as_the_user_of_the_images(manifests: list[Manifest]) -> None:
    for workload in workloads(manifests).values():
        if is_ours(workload):
            context = pod(workload)["securityContext"]
            user = f"{context['runAsUser']}:{context['runAsGroup']}"
            assert f"USER {user}" in (ROOT / "Dockerfile").read_text()
