"""Idempotency keys: a repeated request creates nothing twice, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, func, select, update

from jobs.access.projects import ProjectStore
from jobs.database.tables.idempotency import idempotency_keys
from jobs.errors import IdempotencyConflict
from jobs.schemas.job import JobSpec
from jobs.schemas.projects import NewProject
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.idempotency import REMEMBERED
from jobs.store.jobs import JobStore


def renamed(spec: JobSpec) -> JobSpec:
    return spec.model_copy(update={"name": "another"})


def age(engine: Engine, by: timedelta) -> None:
    with engine.begin() as connection:
        connection.execute(update(idempotency_keys).values(created_at=datetime.now(UTC) - by))


def test_the_same_key_and_spec_give_the_same_job(store: JobStore, spec: JobSpec) -> None:
    first = store.submit(spec, project="default", key="k")
    second = store.submit(spec, project="default", key="k")
    assert (first.is_new, second.is_new) == (True, False)
    assert second.job == first.job
    assert len(store.list()) == 1


def test_the_same_key_and_another_spec_make_nothing(store: JobStore, spec: JobSpec) -> None:
    store.submit(spec, project="default", key="k")
    with pytest.raises(IdempotencyConflict, match="'k' was used for another body"):
        store.submit(renamed(spec), project="default", key="k")
    assert len(store.list()) == 1


def test_without_a_key_each_request_makes_a_job(store: JobStore, spec: JobSpec) -> None:
    jobs = [store.submit(spec, project="default").job for _ in range(2)]
    assert jobs[0].id != jobs[1].id


def test_of_many_requests_at_once_one_makes_the_job(store: JobStore, spec: JobSpec) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.submit(spec, project="default", key="k"), range(16)))
    assert len({one.job.id for one in made}) == 1
    assert sum(one.is_new for one in made) == 1


def test_keys_of_projects_are_their_own(
    store: JobStore, projects: ProjectStore, spec: JobSpec
) -> None:
    projects.create(NewProject(name="other"))
    store.submit(spec, project="default", key="k")
    assert store.submit(renamed(spec), project="other", key="k").is_new


def test_a_key_is_remembered_for_a_day(store: JobStore, engine: Engine, spec: JobSpec) -> None:
    first = store.submit(spec, project="default", key="k").job
    age(engine, REMEMBERED - timedelta(minutes=1))
    assert store.submit(spec, project="default", key="k").job.id == first.id
    age(engine, REMEMBERED + timedelta(minutes=1))
    assert store.submit(renamed(spec), project="default", key="k").is_new
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(idempotency_keys)) == 1


def test_the_key_of_a_deleted_job_makes_another(store: JobStore, spec: JobSpec) -> None:
    first = store.submit(spec, project="default", key="k").job
    assert store.request_action(first.id, RequestedAction.CANCEL).status is JobStatus.CANCELLED
    store.delete(first.id)
    assert store.submit(spec, project="default", key="k").is_new
