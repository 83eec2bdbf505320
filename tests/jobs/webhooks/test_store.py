"""Webhooks of a project and of a job, and the deliveries that are queued for them."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest
from sqlalchemy import Engine, select

from jobs.access.projects import ProjectStore
from jobs.database.tables.webhooks import deliveries
from jobs.errors import DeliveryNotFound, TooManyWebhooks, WebhookNotFound
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.projects import NewProject
from jobs.schemas.status import RequestedAction
from jobs.schemas.webhooks import Delivery, DeliveryStatus, WebhookSpec
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from jobs.store.webhook_outbox import forget_webhooks
from jobs.webhooks.store import MAX_OF_PROJECT, WebhookStore
from relora_core.events import Evaluated


def types(found: list[Delivery]) -> list[str]:
    """Return the types of the delivered events, in order."""
    return [delivery.event_type for delivery in reversed(found)]


def test_a_project_is_told_of_the_events_that_it_asked_for(
    webhooks: WebhookStore, hook: WebhookSpec, attempts: AttemptStore, running: Job
) -> None:
    project = webhooks.create("default", hook)
    scores = webhooks.create("default", hook.model_copy(update={"events": ["train.eval"]}))
    attempts.append(running.id, 1, [(1, Evaluated(step=5, loss=2.0))])
    attempts.warn(running.id, 1, "code", "a warning")
    assert types(webhooks.deliveries("default", project.id)) == ["job.warning"]
    (delivery,) = webhooks.deliveries("default", scores.id)
    assert (delivery.job_id, delivery.event_id, delivery.status) == (running.id, 4, "pending")


def test_a_jobs_own_webhook_is_told_of_all_that_happens_to_it_and_to_no_other(
    webhooks: WebhookStore, hook: WebhookSpec, store: JobStore, spec: JobSpec
) -> None:
    job = store.create(spec.model_copy(update={"webhooks": (hook,)}))
    store.create(spec)
    store.request_action(job.id, RequestedAction.CANCEL)
    (webhook,) = webhooks.list("default", job_id=job.id)
    assert types(webhooks.deliveries("default", webhook.id)) == ["job.queued", "job.cancelled"]
    assert webhooks.list("default") == []


def test_the_body_is_the_event_as_the_api_shows_it_with_its_job_and_project(
    webhooks: WebhookStore, hook: WebhookSpec, store: JobStore, job: Job, engine: Engine
) -> None:
    webhooks.create("default", hook)
    store.request_action(job.id, RequestedAction.PAUSE)
    event = store.events(job.id)[-1].model_dump(mode="json", exclude_none=True)
    with engine.begin() as connection:
        (body,) = connection.scalars(select(deliveries.c.body))
    assert json.loads(body) == {"project": "default", "job_id": job.id, "event": event}


def test_another_project_is_told_nothing_and_sees_nothing(
    webhooks: WebhookStore, hook: WebhookSpec, store: JobStore, engine: Engine, job: Job
) -> None:
    ProjectStore(engine).create(NewProject(name="other"))
    other = webhooks.create("other", hook)
    store.request_action(job.id, RequestedAction.CANCEL)
    assert webhooks.deliveries("other", other.id) == []
    assert webhooks.list("default") == []
    for look in (webhooks.get, webhooks.delete, webhooks.deliveries, webhooks.test):
        with pytest.raises(WebhookNotFound):
            look("default", other.id)


def test_nothing_is_sent_of_what_was_undone(
    webhooks: WebhookStore, hook: WebhookSpec, attempts: AttemptStore, running: Job
) -> None:
    """A trainer's line that is appended twice causes one delivery."""
    evaluated = Evaluated(step=5, loss=2.0)
    webhook = webhooks.create("default", hook.model_copy(update={"events": ["train.*"]}))
    for _ in range(2):
        attempts.append(running.id, 1, [(1, evaluated)])
    assert types(webhooks.deliveries("default", webhook.id)) == ["train.eval"]


def test_a_webhook_is_deleted_with_its_log(
    webhooks: WebhookStore, hook: WebhookSpec, store: JobStore, job: Job
) -> None:
    webhook = webhooks.create("default", hook)
    webhooks.test("default", webhook.id)
    webhooks.delete("default", webhook.id)
    assert webhooks.list("default") == []
    store.request_action(job.id, RequestedAction.CANCEL)


def test_a_deleted_jobs_webhooks_go_with_it(
    webhooks: WebhookStore, hook: WebhookSpec, store: JobStore, spec: JobSpec, engine: Engine
) -> None:
    job = store.create(spec.model_copy(update={"webhooks": (hook,)}))
    kept = webhooks.create("default", hook)
    webhooks.test("default", kept.id)
    with engine.begin() as connection:
        forget_webhooks(connection, job.id)
    assert webhooks.list("default", job_id=job.id) == []
    assert len(webhooks.deliveries("default", kept.id)) == 1


def test_webhooks_are_listed_in_pages_the_newest_first(
    webhooks: WebhookStore, hook: WebhookSpec
) -> None:
    first, second = (webhooks.create("default", hook) for _ in range(2))
    assert webhooks.list("default", limit=1) == [second]
    assert webhooks.list("default", before=second.id) == [first]


def test_a_project_has_no_more_webhooks_than_each_event_can_ask_for(
    webhooks: WebhookStore, hook: WebhookSpec
) -> None:
    for _ in range(MAX_OF_PROJECT):
        webhooks.create("default", hook)
    with pytest.raises(TooManyWebhooks, match="may have 100 webhooks"):
        webhooks.create("default", hook)


def test_requests_at_once_make_no_more_webhooks_than_a_project_may_have(
    webhooks: WebhookStore, hook: WebhookSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.webhooks.store.MAX_OF_PROJECT", 2)
    together = Barrier(6)

    def create(_: int) -> None:
        together.wait()
        with suppress(TooManyWebhooks):
            webhooks.create("default", hook)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(create, range(6)))
    assert len(webhooks.list("default")) == 2


def test_the_jobs_of_a_project_have_no_more_webhooks_than_can_be_sent_to(
    webhooks: WebhookStore,
    hook: WebhookSpec,
    store: JobStore,
    spec: JobSpec,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.store.webhook_outbox.MAX_OF_JOBS", 3)
    ProjectStore(engine).create(NewProject(name="other"))
    two = spec.model_copy(update={"webhooks": (hook, hook)})
    webhooks.create("default", hook)  # webhooks of projects have their own limit
    first = store.create(two)
    with pytest.raises(TooManyWebhooks, match="may have 3 webhooks together; make one webhook of"):
        store.create(two)
    store.create(spec)
    store.create(two, project="other")
    store.request_action(first.id, RequestedAction.CANCEL)
    store.create(two)


def test_a_delivery_of_another_webhook_is_not_sent_again(
    webhooks: WebhookStore, hook: WebhookSpec
) -> None:
    first, second = (webhooks.create("default", hook) for _ in range(2))
    delivery = webhooks.test("default", first.id)
    with pytest.raises(DeliveryNotFound):
        webhooks.redeliver("default", second.id, delivery.id)
    again = webhooks.redeliver("default", first.id, delivery.id)
    assert (again.id, again.status) == (delivery.id, DeliveryStatus.PENDING)
