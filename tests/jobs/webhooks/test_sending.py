"""The claims of senders, and the results of their attempts."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from jobs.access.projects import ProjectStore
from jobs.schemas.events import JobWarned
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.projects import NewProject
from jobs.schemas.status import RequestedAction
from jobs.schemas.webhooks import Delivery, DeliveryStatus, Webhook, WebhookSpec
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from jobs.webhooks.sending import PLACES_OF_PROJECT, WARN_AFTER, DeliveryQueue, Outcome
from jobs.webhooks.store import WebhookStore
from relora_core.events import Evaluated

REFUSED = Outcome(500, error="it answered 500")


@pytest.fixture
def webhook(webhooks: WebhookStore, hook: WebhookSpec) -> Webhook:
    """Return a webhook with one pending delivery."""
    webhook = webhooks.create("default", hook)
    webhooks.test("default", webhook.id)
    return webhook


@pytest.fixture
def attempt(queue: DeliveryQueue) -> Callable[[Outcome], None]:
    """Return a function that makes one attempt of the due delivery."""

    def send(outcome: Outcome) -> None:
        (endpoint,) = queue.claim(10)
        delivery = queue.due(endpoint)
        assert delivery is not None
        queue.settle(endpoint, delivery, outcome)
        queue.release(endpoint)

    return send


def log(webhooks: WebhookStore, webhook: Webhook) -> Delivery:
    (delivery,) = webhooks.deliveries("default", webhook.id)
    return delivery


def test_what_was_accepted_is_sent_no_more(
    queue: DeliveryQueue,
    webhooks: WebhookStore,
    webhook: Webhook,
    attempt: Callable[[Outcome], None],
) -> None:
    attempt(Outcome(204))
    assert queue.claim(10) == []
    delivery = log(webhooks, webhook)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, 1)
    assert (delivery.response_status, delivery.error) == (204, None)
    assert delivery.next_attempt_at is None


@pytest.mark.usefixtures("webhook")
def test_a_webhook_is_held_by_one_sender(engine: Engine, queue: DeliveryQueue) -> None:
    (endpoint,) = queue.claim(10)
    other = DeliveryQueue(engine)
    assert other.claim(10) == []
    queue.release(endpoint)
    assert other.claim(10) == [endpoint]


def test_events_are_sent_in_their_order(
    queue: DeliveryQueue, webhooks: WebhookStore, hook: WebhookSpec, store: JobStore, job: Job
) -> None:
    webhooks.create("default", hook)
    store.request_action(job.id, RequestedAction.PAUSE)
    store.resume(job.id)
    (endpoint,) = queue.claim(10)
    sent = []
    while delivery := queue.due(endpoint):
        sent.append(json.loads(delivery.body)["event"]["type"])
        queue.settle(endpoint, delivery, Outcome(200))
    assert sent == ["job.paused", "job.queued"]


def test_what_failed_waits_longer_each_time(
    webhooks: WebhookStore,
    webhook: Webhook,
    attempt: Callable[[Outcome], None],
    change_deliveries: Callable[..., None],
) -> None:
    pauses = []
    for _ in range(3):
        change_deliveries(due_at=0)
        attempt(REFUSED)
        waiting = log(webhooks, webhook)
        assert waiting.next_attempt_at is not None
        pauses.append((waiting.next_attempt_at - datetime.now(UTC)).total_seconds())
    for pause, longest in zip(pauses, (10, 30, 90), strict=True):
        assert 0.4 * longest < pause < longest + 1
    assert (waiting.status, waiting.attempts, waiting.error) == ("pending", 3, "it answered 500")


def test_after_a_day_it_is_given_up_and_a_person_may_send_it_again(
    queue: DeliveryQueue,
    webhooks: WebhookStore,
    webhook: Webhook,
    attempt: Callable[[Outcome], None],
    change_deliveries: Callable[..., None],
) -> None:
    change_deliveries(give_up_at=1)
    attempt(REFUSED)
    given_up = log(webhooks, webhook)
    assert (given_up.status, given_up.next_attempt_at) == (DeliveryStatus.FAILED, None)
    assert given_up.finished_at is not None
    assert queue.claim(10) == []

    webhooks.redeliver("default", webhook.id, given_up.id)
    attempt(Outcome(200))
    assert (log(webhooks, webhook).status, log(webhooks, webhook).attempts) == ("delivered", 2)


def test_a_webhook_says_since_when_it_fails(
    webhooks: WebhookStore,
    webhook: Webhook,
    attempt: Callable[[Outcome], None],
    change_deliveries: Callable[..., None],
) -> None:
    attempt(REFUSED)
    since = webhooks.get("default", webhook.id).failing_since
    assert since is not None
    change_deliveries(due_at=0)
    attempt(REFUSED)
    assert webhooks.get("default", webhook.id).failing_since == since
    change_deliveries(due_at=0)
    attempt(Outcome(200))
    assert webhooks.get("default", webhook.id).failing_since is None


def test_a_job_is_warned_once_of_its_webhook(
    store: JobStore,
    spec: JobSpec,
    hook: WebhookSpec,
    attempt: Callable[[Outcome], None],
    change_deliveries: Callable[..., None],
) -> None:
    job = store.create(spec.model_copy(update={"webhooks": (hook,)}))
    for _ in range(WARN_AFTER + 2):
        change_deliveries(due_at=0)
        attempt(REFUSED)
    (warning,) = store.events(job.id, types={"job.warning"})
    assert isinstance(warning, JobWarned)
    assert warning.code == "webhook_failing"
    assert "has failed 5 times in a row" in warning.message
    assert "500" not in warning.message  # the receiver's answer is in the log of deliveries


def test_a_job_that_is_over_is_left_alone(
    store: JobStore,
    spec: JobSpec,
    hook: WebhookSpec,
    attempt: Callable[[Outcome], None],
    change_deliveries: Callable[..., None],
) -> None:
    job = store.create(spec.model_copy(update={"webhooks": (hook,)}))
    store.request_action(job.id, RequestedAction.CANCEL)
    for _ in range(WARN_AFTER):
        change_deliveries(due_at=0)
        attempt(REFUSED)
    assert store.events(job.id)[-1].type == "job.cancelled"


def test_what_became_of_a_parcel_is_noted_by_the_first_who_says(
    queue: DeliveryQueue, webhooks: WebhookStore, webhook: Webhook
) -> None:
    (endpoint,) = queue.claim(10)
    delivery = queue.due(endpoint)
    assert delivery is not None
    queue.settle(endpoint, delivery, Outcome(200))
    queue.settle(endpoint, delivery, REFUSED)
    assert log(webhooks, webhook).status is DeliveryStatus.DELIVERED


def test_the_log_forgets_what_is_long_over(
    queue: DeliveryQueue,
    webhooks: WebhookStore,
    webhook: Webhook,
    attempt: Callable[[Outcome], None],
    change_deliveries: Callable[..., None],
) -> None:
    attempt(Outcome(200))
    queue.delete_old()
    assert len(webhooks.deliveries("default", webhook.id)) == 1
    change_deliveries(finished_at=datetime.now(UTC) - timedelta(days=31))
    queue.delete_old()
    assert webhooks.deliveries("default", webhook.id) == []


def test_a_project_with_many_webhooks_leaves_places_to_others(
    engine: Engine, queue: DeliveryQueue, webhooks: WebhookStore, hook: WebhookSpec
) -> None:
    ProjectStore(engine).create(NewProject(name="other"))
    for project in ["default"] * 5 + ["other"]:
        webhooks.test(project, webhooks.create(project, hook).id)
    first = queue.claim(8)
    assert sorted(endpoint.project for endpoint in first) == ["default"] * PLACES_OF_PROJECT + [
        "other"
    ]
    assert queue.claim(8) == []
    for endpoint in first:
        queue.release(endpoint)
    assert {endpoint.id for endpoint in queue.claim(8)} != {endpoint.id for endpoint in first}


def test_a_body_is_valid_json_where_a_number_is_not_finite(
    attempts: AttemptStore, running: Job, queue: DeliveryQueue, webhooks: WebhookStore
) -> None:
    webhooks.create(
        "default",
        WebhookSpec(url="https://example.com", events=["train.eval"], secret="key"),
    )
    event = Evaluated(step=1, loss=800.0, perplexity=math.inf, tokens=1)
    attempts.append(running.id, 1, [(1, event)])
    (endpoint,) = queue.claim(1)
    delivery = queue.due(endpoint)
    assert delivery is not None
    body = json.loads(delivery.body, parse_constant=pytest.fail)
    assert body["event"]["perplexity"] == "Infinity"
