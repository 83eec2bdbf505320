"""Prometheus itself scrapes the API and evaluates the rules and the query of the manifests."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from jobs.backends import Backends
from jobs.schemas.job import Job
from tests.fixtures.reports import step_finished
from tests.fixtures.servers import free_ports
from tests.fixtures.tiers import program

COMPONENTS = Path(__file__).parents[3] / "k8s/components"


@pytest.fixture
def promtool() -> str:
    return program("promtool", install="apt-get install prometheus")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    resource = yaml.safe_load((COMPONENTS / "monitoring/rules.yaml").read_text())
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(resource["spec"]))
    return file


@pytest.fixture
def prometheus(http: httpx.Client, rules: Path, tmp_path: Path) -> Iterator[str]:
    """Start a Prometheus that scrapes the service each second. Return its URL."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "relora", "static_configs": [{"targets": [http.base_url.netloc.decode()]}]}
        ],
    }
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (port,) = free_ports(1)
    command = [
        program("prometheus", install="apt-get install prometheus"),
        f"--config.file={tmp_path}/prometheus.yaml",
        f"--storage.tsdb.path={tmp_path}/prometheus",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def ask(prometheus: str, query: str) -> list[dict[str, Any]]:
    """Return the result of a query, as soon as it has one."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query})
            found: list[dict[str, Any]] = answer.json().get("data", {}).get("result", [])
        except (httpx.HTTPError, ValueError):  # it starts
            found = []
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"no answer to {query}")


def test_the_query_of_workers_on_demand_counts_the_jobs_that_need_a_pod(
    prometheus: str, http: httpx.Client, document: dict[str, Any]
) -> None:
    training = {**document["training"], "global_batch_size": 64}
    asking = {**document, "training": training, "resources": {"gpus": 8, "gpu": "h100"}}
    for _ in range(2):
        assert http.post("/v1/jobs", json=asking).status_code == 201
    scaled = yaml.safe_load((COMPONENTS / "on-demand/worker.yaml").read_text())
    (trigger,) = scaled["spec"]["triggers"]
    (result,) = ask(prometheus, trigger["metadata"]["query"])
    assert result["value"][1] == "2"


def test_a_job_has_labels_of_its_own_and_keeps_that_of_prometheus(
    prometheus: str, running: Job
) -> None:
    (result,) = ask(prometheus, "relora_job_attempt")
    labels = result["metric"]
    assert (labels["job"], labels["job_id"], labels["project"]) == ("relora", running.id, "default")


def test_every_rule_reads_metrics_of_the_service(
    prometheus: str, http: httpx.Client, running: Job
) -> None:
    http.get(f"/v1/jobs/{running.id}")
    ask(prometheus, "relora_http_request_seconds_count")
    for metric in (
        "relora_unsent_messages",
        "relora_job_lease_age_seconds",
        'relora_jobs{status="queued"}',
        "relora_job_failed_attempts",
    ):
        assert ask(prometheus, metric)


def test_every_panel_of_the_dashboard_draws_metrics_of_the_service(
    prometheus: str,
    http: httpx.Client,
    running: Job,
    report: Callable[..., None],
    backends: Backends,
    document: dict[str, Any],
) -> None:
    http.post("/v1/jobs", json=document)
    figures = {"mfu": 0.4, "step_seconds": 2.0, "data_wait_seconds": 0.1, "gpu_utilization": 0.9}
    report(running, step_finished(10, memory_peak_bytes=1, **figures))
    backends.stats.add_upload("checkpoint", num_bytes=100, seconds=1.5)
    http.get(f"/v1/jobs/{running.id}")
    manifest = yaml.safe_load((COMPONENTS / "monitoring/dashboard.yaml").read_text())
    dashboard = json.loads(manifest["data"]["relora.json"])
    panels = {panel["title"]: panel["targets"][0]["expr"] for panel in dashboard["panels"]}
    assert len(panels) == len(dashboard["panels"])
    assert [title for title, query in panels.items() if not ask(prometheus, query)] == []


def test_promtool_accepts_the_rules(promtool: str, rules: Path) -> None:
    result = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "6 rules found" in result.stdout


@pytest.mark.parametrize(
    ("series", "values", "at", "alert"),
    [
        ("relora_unsent_messages", "0x60", "30m", None),
        ("relora_unsent_messages", "5x60", "11m", "ReloraMessagesUnsent"),
        ("other", "1x60", "6m", "ReloraApiDown"),
        (
            'relora_job_lease_age_seconds{job_id="j",project="p"}',
            "400x60",
            "2m",
            "ReloraLeaseExpired",
        ),
        ('relora_job_failed_attempts{job_id="j",project="p"}', "3x60", "1m", "ReloraAttemptsFail"),
    ],
)
def test_an_alert_fires_when_it_should(
    promtool: str, rules: Path, tmp_path: Path, series: str, values: str, at: str, alert: str | None
) -> None:
    up = (
        []
        if series in {"other", "relora_unsent_messages"}
        else [("relora_unsent_messages", "0x60")]
    )
    names = ["ReloraApiDown", "ReloraMessagesUnsent", "ReloraLeaseExpired", "ReloraAttemptsFail"]
    test = {
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in [(series, values), *up]],
        "promql_expr_test": [
            {
                "expr": f'count by (alertname) (ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": at,
                "exp_samples": (
                    [{"labels": f'{{alertname="{name}"}}', "value": 1}] if name == alert else []
                ),
            }
            for name in names
        ],
    }
    document = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(document))
    result = subprocess.run(
        [promtool, "test", "rules", tmp_path / "tests.yaml"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
