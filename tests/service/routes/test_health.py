"""Liveness and readiness over HTTP."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import pytest

from jobs.backends import Backends, open_backends
from jobs.outages import DATABASE_OUTAGES
from jobs.settings import Settings
from service.monitoring import readiness
from tests.service.serving import serving


def test_a_server_that_answers_is_alive(http: httpx.Client) -> None:
    response = http.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("asked", "blocked"),
    [
        (("GET", "/v1/jobs", None), "jobs.store.jobs.JobStore.page"),
        (("POST", "/v1/jobs", {}), "service.routes.spec_body.spec_of"),
        (("POST", "/v1/sweeps", {"base": {}, "grid": {"seed": [1]}}), "service.routes.sweeps.plan"),
    ],
    ids=["the store hangs", "specs take long to check", "sweeps take long to plan"],
)
def test_the_server_is_alive_while_all_its_threads_are_busy(
    http: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, str, dict[str, object] | None],
    blocked: str,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(blocked, lambda *_, **__: answered.wait(20) and ([], False))
    method, path, body = asked
    with ThreadPoolExecutor(45) as pool:  # of which the server has 40
        waiting = [pool.submit(http.request, method, path, json=body) for _ in range(45)]
        time.sleep(0.2)
        assert http.get("/healthz", timeout=15).status_code == 200
        assert not any(request.done() for request in waiting)
        answered.set()


def test_without_its_broker_the_service_still_takes_jobs_and_says_so(http: httpx.Client) -> None:
    response = http.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "degraded",
        "store": "ok",
        "broker": "down: QueueUnavailable",
        "storage": "ok",
    }


@pytest.mark.integration
def test_with_all_its_parts_the_service_is_ready(settings: Settings, valkey_url: str) -> None:
    settings = settings.model_copy(update={"broker_url": valkey_url})
    with (
        closing(open_backends(settings)) as backends,
        serving(backends) as url,
    ):
        assert httpx.get(f"{url}/readyz").json() == {
            "status": "ready",
            "store": "ok",
            "broker": "ok",
            "storage": "ok",
        }


def test_without_its_storage_the_service_is_degraded(settings: Settings) -> None:
    (settings.data_dir / "storage").write_text("a file where the folder should be")
    with closing(open_backends(settings)) as backends, serving(backends) as url:
        ready = httpx.get(f"{url}/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["storage"] == "down: StorageError"


def test_a_part_that_does_not_answer_is_down_in_time_and_asked_once(
    http: httpx.Client, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "PATIENCE_SECONDS", 0.1)
    answered, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        answered.wait(20)

    monkeypatch.setattr(backends.store, "ping", hang)
    for _ in range(3):
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["store"]) == (503, "down: no answer in 0.1 s")
    assert asked == [1]
    answered.set()


def test_every_outage_of_the_store_is_503(
    http: httpx.Client, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = iter(DATABASE_OUTAGES)

    def fail(*_: object, **__: object) -> None:
        raise next(outages)("read-only", {}, OSError())

    monkeypatch.setattr(backends.store, "page", fail)
    for _ in DATABASE_OUTAGES:
        jobs = http.get("/v1/jobs")
        assert (jobs.status_code, jobs.json()["code"]) == (503, "store_unavailable")


def test_without_its_store_the_service_is_not_ready(settings: Settings) -> None:
    settings = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:9/none"})
    with closing(open_backends(settings)) as backends, serving(backends) as url:
        ready = httpx.get(f"{url}/readyz")
        job = httpx.get(f"{url}/v1/jobs/job_1")
    assert ready.status_code == 503
    assert ready.json()["status"] == "unready"
    assert ready.json()["store"].startswith("down: ")
    assert (job.status_code, job.json()["code"]) == (503, "store_unavailable")
    assert job.headers["Retry-After"] == "5"
