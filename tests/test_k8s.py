"""The manifests as `kubectl` renders them, read as the cluster and an operator would."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import textwrap
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from jobs.schemas.resources import Resources
from jobs.settings import Settings
from service.http.upload_buffer import SPOOL_BYTES
from tests.fixtures.tiers import program

ROOT = Path(__file__).parent.parent
K8S = ROOT / "k8s"
OPERATIONS = (ROOT / "docs/operations.md").read_text()
OLDEST_KUBERNETES = "1.30"  # `preStop.sleep`
WORKLOADS = {"Deployment", "StatefulSet", "Job"}
HOME = "/var/lib/relora"

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def kubectl() -> str:
    return program("kubectl", install="make test-system")


@pytest.fixture(scope="module")
def helm() -> str:
    return program("helm", install="make test-system")


@pytest.fixture(scope="module", params=["base", "overlays/gpu"])
def manifests(request: pytest.FixtureRequest, kubectl: str) -> list[Manifest]:
    return render(kubectl, K8S / request.param)


@pytest.fixture(scope="module")
def gpu_worker(kubectl: str) -> Manifest:
    return workloads(render(kubectl, K8S / "overlays/gpu"))["relora-worker"]


def render(kubectl: str, folder: Path) -> list[Manifest]:
    result = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


def secrets() -> dict[str, Manifest]:
    manifests = yaml.safe_load_all((K8S / "secret.example.yaml").read_text())
    return {manifest["metadata"]["name"]: manifest for manifest in manifests}


def workloads(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in manifests if m["kind"] in WORKLOADS}


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod(workload: Manifest) -> Manifest:
    template: Manifest = workload["spec"]["template"]["spec"]
    return template


def container(workload: Manifest) -> Manifest:
    only: Manifest
    (only,) = pod(workload)["containers"]
    return only


def is_ours(workload: Manifest) -> bool:
    """Whether it runs this project, not Valkey."""
    return "relora-" in container(workload)["image"]


def our_containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    for workload in workloads(manifests).values():
        if is_ours(workload):
            yield container(workload)


def selects(selector: Manifest, workload: Manifest) -> bool:
    labels = workload["spec"]["template"]["metadata"]["labels"]
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    return wanted <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in among
    )


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, kubernetes_validate.latest_version()])
def test_kubernetes_accepts_every_document(manifests: list[Manifest], version: str) -> None:
    for manifest in [*manifests, *secrets().values()]:
        kubernetes_validate.validate(manifest, version, strict=True)


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
    assert "RELORA_BROKER_URL" in config["data"]
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


def budgets(manifests: list[Manifest]) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in of_kind(manifests, "PodDisruptionBudget")}


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


def with_component(kubectl: str, folder: Path, component: str) -> list[Manifest]:
    shutil.copytree(K8S, folder / "k8s")
    overlay = folder / "k8s/overlays/with-component"
    overlay.mkdir()
    content = {"resources": ["../../base"], "components": [f"../../components/{component}"]}
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(content))
    return render(kubectl, overlay)


def test_a_pod_may_talk_only_as_a_policy_says(manifests: list[Manifest]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    deny = policies.pop("relora-default-deny")
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert deny.keys() == {"podSelector", "policyTypes"}
    for workload in workloads(manifests).values():
        assert selects(deny["podSelector"], workload)
    for name, policy in policies.items():
        assert any(selects(policy["podSelector"], w) for w in workloads(manifests).values()), name


def test_a_policy_lets_the_processes_reach_the_queue(manifests: list[Manifest]) -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    (rule,) = policies["relora-valkey"]["ingress"]
    allowed = {
        name
        for name, workload in workloads(manifests).items()
        if selects(rule["from"][0]["podSelector"], workload)
    }
    assert allowed == {"relora-api", "relora-worker", "relora-reaper"}


def targets(manifests: list[Manifest], policy: str) -> list[Manifest]:
    policies = {m["metadata"]["name"]: m["spec"] for m in of_kind(manifests, "NetworkPolicy")}
    (rule,) = policies[policy]["egress"]
    to: list[Manifest] = rule["to"]
    return to


def test_names_are_asked_of_the_clusters_dns_alone(manifests: list[Manifest]) -> None:
    assert targets(manifests, "relora-dns") == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {
                "matchExpressions": [{"key": "k8s-app", "operator": "In", "values": ["kube-dns"]}]
            },
        }
    ]


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("8.8.8.8", True),
        ("10.96.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("172.31.255.255", False),
        ("192.168.0.1", False),
        ("2001:4860:4860::8888", True),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b::a60:1", False),
        ("64:ff9b::6440:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::ac1f:ffff", False),
        ("64:ff9b::c0a8:1", False),
    ],
)
def test_a_pod_reaches_the_internet_and_no_private_network(
    manifests: list[Manifest], address: str, *, is_open: bool
) -> None:
    blocks = [target["ipBlock"] for target in targets(manifests, "relora-internet")]
    assert is_open == any(
        ip_address(address) in ip_network(block["cidr"])
        and not any(ip_address(address) in ip_network(net) for net in block["except"])
        for block in blocks
    )


def test_every_rule_for_traffic_out_says_where_to(manifests: list[Manifest]) -> None:
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            assert rule["to"], policy["metadata"]["name"]
            assert rule["ports"], policy["metadata"]["name"]


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


def test_the_broker_is_the_service_of_valkey(manifests: list[Manifest]) -> None:
    (config,) = of_kind(manifests, "ConfigMap")
    broker = urlsplit(config["data"]["RELORA_BROKER_URL"])
    services = {s["metadata"]["name"]: s["spec"] for s in of_kind(manifests, "Service")}
    assert broker.port == services[str(broker.hostname)]["ports"][0]["port"]


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
        "relora-generator": everything,
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


def in_bytes(quantity: str) -> int:
    units = {"Mi": 1 << 20, "Gi": 1 << 30}
    return int(quantity[:-2]) * units[quantity[-2:]]


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


def template(helm: str, *options: str) -> list[Manifest]:
    command = [helm, "template", "relora", str(K8S), "--namespace", "relora", *options]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return [manifest for manifest in yaml.safe_load_all(result.stdout) if manifest]


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
            for name in ("ingress", "monitoring", "on-demand")
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


def test_the_chart_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((K8S / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
