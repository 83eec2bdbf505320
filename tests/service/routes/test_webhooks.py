"""Webhooks over HTTP."""

import time
from typing import Any

import httpx
import pytest

from jobs.settings import Settings
from tests.service.receiver import SIGNING_SECRET, Receiver


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow_private": True})


@pytest.fixture
def hook(http: httpx.Client, receiver: Receiver) -> dict[str, Any]:
    http.put("/v1/secrets/key", json={"value": SIGNING_SECRET})
    return {"url": receiver.url, "events": ["job.*"], "secret": "key"}


def finished(http: httpx.Client, webhook_id: str) -> list[dict[str, Any]]:
    """The log, once nothing waits."""
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        log = http.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["items"]
        if log and not [one for one in log if one["status"] == "pending"]:
            return log  # type: ignore[no-any-return] # JSON
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def test_a_webhook_is_made_tested_and_deleted(
    http: httpx.Client, hook: dict[str, Any], receiver: Receiver
) -> None:
    created = http.post("/v1/webhooks", json=hook)
    webhook = created.json()
    assert (created.status_code, webhook["job_id"]) == (201, None)
    assert created.headers["Location"] == f"/v1/webhooks/{webhook['id']}"
    assert http.get(created.headers["Location"]).json() == webhook
    assert http.get("/v1/webhooks").json() == {"items": [webhook], "next": None}

    tested = http.post(f"/v1/webhooks/{webhook['id']}/test")
    assert (tested.status_code, tested.json()["event_type"]) == (202, "webhook.test")
    (delivery,) = finished(http, webhook["id"])
    assert (delivery["id"], delivery["response_status"]) == (tested.json()["id"], 204)
    (request,) = receiver.requests
    assert request.verify()["event"]["type"] == "webhook.test"

    assert http.delete(created.headers["Location"]).status_code == 204
    gone = http.get(created.headers["Location"])
    assert (gone.status_code, gone.json()["code"]) == (404, "webhook_not_found")


def test_a_jobs_own_webhook_is_told_of_it(
    http: httpx.Client, hook: dict[str, Any], document: dict[str, Any]
) -> None:
    job = http.post("/v1/jobs", json={**document, "webhooks": [hook]}).json()
    (webhook,) = http.get("/v1/webhooks", params={"job_id": job["id"]}).json()["items"]
    assert (webhook["job_id"], webhook["url"]) == (job["id"], hook["url"])
    (delivery,) = finished(http, webhook["id"])
    assert (delivery["event_type"], delivery["event_id"]) == ("job.queued", 1)


def test_an_event_is_sent_once_more(
    http: httpx.Client, hook: dict[str, Any], receiver: Receiver
) -> None:
    webhook_id = http.post("/v1/webhooks", json=hook).json()["id"]
    http.post(f"/v1/webhooks/{webhook_id}/test")
    (delivery,) = finished(http, webhook_id)
    path = f"/v1/webhooks/{webhook_id}/deliveries/{delivery['id']}/redeliver"
    assert http.post(path).json()["status"] == "pending"
    (again,) = finished(http, webhook_id)
    assert (again["attempts"], len(receiver.requests)) == (2, 2)


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"secret": "none"}, "secret", "the project has no secret of this name"),
        ({"secret": "text"}, "secret", "must be whsec_ and the Base64 of 24 to 64 random bytes"),
        ({"url": "ftp://x"}, "url", "must be https://host/path or http://host/path"),
        ({"events": ["job.suceeded"]}, "events.0", "no event 'job.suceeded'; did you mean"),
        ({"events": []}, "events", "must not be empty"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused_by_its_field(
    http: httpx.Client,
    hook: dict[str, Any],
    document: dict[str, Any],
    change: dict[str, Any],
    path: str,
    message: str,
) -> None:
    http.put("/v1/secrets/text", json={"value": "a long random text"})
    of_project = http.post("/v1/webhooks", json={**hook, **change})
    of_job = http.post("/v1/jobs", json={**document, "webhooks": [{**hook, **change}]})
    for response, where in ((of_project, f"{path}"), (of_job, f"webhooks.0.{path}")):
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["path"] == where
        assert message in error["message"]


class TestWithoutTheSetting:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"webhook_allow_private": False})

    def test_a_private_address_is_refused(self, http: httpx.Client, hook: dict[str, Any]) -> None:
        response = http.post("/v1/webhooks", json=hook)
        (error,) = response.json()["errors"]
        assert (response.status_code, error["path"]) == (422, "url")
        assert "RELORA_WEBHOOK_ALLOW_PRIVATE=true" in error["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/deliveries"),
        ("POST", "/test"),
        ("POST", "/deliveries/dlv_none/redeliver"),
    ],
)
def test_a_webhook_that_is_not_there_is_not_found(
    http: httpx.Client, method: str, path: str
) -> None:
    response = http.request(method, f"/v1/webhooks/whk_none{path}")
    assert (response.status_code, response.json()["code"]) == (404, "webhook_not_found")
