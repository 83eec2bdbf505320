"""A job with an unreadable stored spec hides no other job, and can be cancelled and deleted."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, update

from jobs.database.tables.jobs import jobs
from jobs.scheduling.queue_order import WaitingJobs
from jobs.schemas.job import JobChanges, JobSpec, UnreadableSpec
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore

Broken = Callable[[str], str]
BROKEN: dict[str, Any] = {
    "a null where a number belongs": {"method": {"name": "relora", "alpha": None}},
    "a field that only another version knows": {"model": {"preset": "llama_9m", "later": 1}},
    "a text where a number belongs": {"training": {"steps": "many"}},
    "no object": [],
}


@pytest.fixture(params=[*BROKEN, "no JSON"])
def stored(request: pytest.FixtureRequest, spec: JobSpec) -> str:
    if request.param == "no JSON":
        return '{"name": '
    changes = BROKEN[request.param]
    return json.dumps({**spec.model_dump(mode="json"), **changes} if changes else changes)


@pytest.fixture
def broken(store: JobStore, engine: Engine, spec: JobSpec, stored: str) -> str:
    """Return the id of a queued job with this stored spec."""
    job_id = store.create(spec).id
    with engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(spec=stored))
    return job_id


def test_a_broken_row_is_listed_beside_the_others_with_its_raw_spec(
    store: JobStore, engine: Engine, spec: JobSpec, broken: str, stored: str
) -> None:
    whole = store.create(spec)
    listed = {job.id: job for job in store.list()}
    assert listed.keys() == {broken, whole.id}
    shown = json.loads(listed[broken].model_dump_json())
    assert shown["spec"] == (stored if stored == '{"name": ' else json.loads(stored))
    assert shown["spec_problem"].startswith("This version cannot read the spec that is stored. ")
    assert listed[whole.id].spec_problem is None
    assert {job.job_id for job in WaitingJobs(engine).list(project="default", limit=9)} == {
        broken,
        whole.id,
    }


def test_a_job_with_a_broken_spec_is_changed_cancelled_and_deleted(
    store: JobStore, broken: str
) -> None:
    store.change(broken, JobChanges(labels={"team": "nlp"}))
    assert store.request_action(broken, RequestedAction.CANCEL).status is JobStatus.CANCELLED
    store.delete(broken)
    assert store.list() == []


def test_a_claim_of_a_broken_spec_says_so(attempts: AttemptStore, broken: str) -> None:
    claimed = attempts.claim(broken, worker="w1", lease_seconds=60)
    assert claimed is not None
    assert isinstance(claimed.spec, UnreadableSpec)
    assert "cannot read the spec" in claimed.spec.problem
