"""Events on their way to a receiver, over HTTP."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler

import pytest

from jobs.backends import Backends, open_backends
from jobs.schemas.job import Job
from jobs.schemas.status import RequestedAction
from jobs.schemas.webhooks import DeliveryStatus, Webhook, WebhookSpec
from jobs.settings import Settings
from service.background.webhook_sender import WebhookSender
from tests.service.receiver import SIGNING_SECRET, Receiver, status


def wait_until(fulfilled: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 20
    while not fulfilled():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow_private": True})


@pytest.fixture
def webhook(backends: Backends, receiver: Receiver) -> Webhook:
    backends.secrets.put("default", "key", SIGNING_SECRET)
    return backends.webhooks.create("default", WebhookSpec(url=receiver.url, secret="key"))


@pytest.fixture
def webhook_sender(backends: Backends) -> Iterator[WebhookSender]:
    opened = WebhookSender(backends, every_seconds=0.02)
    opened.start()
    yield opened
    opened.stop()


def statuses(backends: Backends, webhook: Webhook) -> list[DeliveryStatus]:
    return [one.status for one in backends.webhooks.deliveries("default", webhook.id)]


@pytest.mark.usefixtures("webhook_sender")
def test_an_event_is_received_once_signed_and_in_the_log(
    backends: Backends, receiver: Receiver, webhook: Webhook, job: Job
) -> None:
    backends.store.request_action(job.id, RequestedAction.CANCEL)
    wait_until(lambda: statuses(backends, webhook) == ["delivered", "delivered"])
    first, second = receiver.requests
    assert second.verify()["event"]["type"] == "job.cancelled"
    assert second.headers["Content-Type"] == "application/json"
    log = backends.webhooks.deliveries("default", webhook.id)
    assert [one.id for one in log] == [request.headers["webhook-id"] for request in (second, first)]


@pytest.mark.usefixtures("webhook_sender")
def test_two_processes_do_not_send_the_same_event(
    settings: Settings, backends: Backends, receiver: Receiver, webhook: Webhook, job: Job
) -> None:
    def take_time(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        status(handler, 200)

    receiver.answer = take_time
    with closing(open_backends(settings)) as others:
        other = WebhookSender(others, every_seconds=0.02)
        other.start()
        backends.store.request_action(job.id, RequestedAction.CANCEL)
        wait_until(lambda: statuses(backends, webhook) == ["delivered", "delivered"])
        other.stop()
    assert len(receiver.requests) == 2


@pytest.mark.usefixtures("webhook_sender")
def test_what_is_refused_waits_and_holds_up_nothing_else(
    backends: Backends, receiver: Receiver, webhook: Webhook, job: Job
) -> None:
    def refuse_the_first(handler: BaseHTTPRequestHandler) -> None:
        queued = receiver.requests[-1].verify()["event"]["type"] == "job.queued"
        status(handler, 500 if queued else 200)

    receiver.answer = refuse_the_first
    backends.store.request_action(job.id, RequestedAction.CANCEL)
    wait_until(lambda: statuses(backends, webhook) == ["delivered", "pending"])
    refused = backends.webhooks.deliveries("default", webhook.id)[-1]
    assert (refused.attempts, refused.response_status) == (1, 500)
    assert refused.error == "it answered 500"


@pytest.mark.usefixtures("webhook_sender")
def test_without_its_secret_nothing_is_sent(
    backends: Backends, receiver: Receiver, webhook: Webhook
) -> None:
    backends.secrets.delete("default", "key")
    backends.webhooks.test("default", webhook.id)
    wait_until(lambda: backends.webhooks.deliveries("default", webhook.id)[0].attempts == 1)
    (delivery,) = backends.webhooks.deliveries("default", webhook.id)
    assert delivery.error is not None
    assert delivery.error.startswith("it cannot be signed: There is no secret 'key'")
    assert receiver.requests == []


@pytest.mark.usefixtures("webhook_sender")
def test_a_secret_of_another_form_is_told_in_the_log(
    backends: Backends, receiver: Receiver, webhook: Webhook
) -> None:
    backends.secrets.put("default", "key", "a long random text")
    backends.webhooks.test("default", webhook.id)
    wait_until(lambda: backends.webhooks.deliveries("default", webhook.id)[0].attempts == 1)
    (delivery,) = backends.webhooks.deliveries("default", webhook.id)
    assert delivery.error is not None
    assert delivery.error.startswith(
        "it cannot be signed with secret 'key': the value must be whsec_ and the Base64"
    )
    assert receiver.requests == []


@pytest.mark.usefixtures("webhook_sender")
def test_many_events_go_out_in_order(
    backends: Backends, receiver: Receiver, webhook: Webhook, running: Job
) -> None:
    for number in range(20):
        backends.attempts.warn(running.id, 1, "code", str(number))
    wait_until(lambda: len(receiver.requests) >= 23)
    wait_until(lambda: set(statuses(backends, webhook)) == {"delivered"})
    numbers = [json.loads(request.body)["event"]["id"] for request in receiver.requests]
    assert numbers == sorted(numbers)
