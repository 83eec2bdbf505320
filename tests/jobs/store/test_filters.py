"""Filters for lists of jobs, on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from jobs.schemas.job import JobChanges, JobSpec
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store import filters
from jobs.store.filters import JobFilter
from jobs.store.jobs import JobStore


@pytest.fixture
def ids(store: JobStore, spec: JobSpec) -> list[str]:
    """Create four jobs: a ReLoRA job of each team, a full-rank one, a cancelled one of no team."""
    document = spec.model_dump()
    documents: list[dict[str, Any]] = [
        {**document, "labels": {"team": "nlp", "stage": "a=b"}},
        {**document, "labels": {"team": "speech"}},
        {**document, "labels": {"team": "nlp"}, "method": {"name": "full"}},
        {**document, "labels": {}},
    ]
    made = [store.create(JobSpec.model_validate(document)).id for document in documents]
    store.request_action(made[3], RequestedAction.CANCEL)
    return made


def found(store: JobStore, **wanted: Any) -> list[str]:
    return [job.id for job in store.list(JobFilter(**wanted))]


def test_by_statuses(store: JobStore, ids: list[str]) -> None:
    cancelled = frozenset({JobStatus.CANCELLED})
    assert found(store, statuses=cancelled) == [ids[3]]
    assert found(store, statuses=cancelled | {JobStatus.QUEUED}) == ids[::-1]


def test_by_labels_all_of_them(store: JobStore, ids: list[str]) -> None:
    assert found(store, labels=(("team", "nlp"),)) == [ids[2], ids[0]]
    assert found(store, labels=(("team", "nlp"), ("stage", "a=b"))) == [ids[0]]
    assert found(store, labels=(("team", "n"),)) == []


def test_by_method(store: JobStore, ids: list[str]) -> None:
    assert found(store, method="full") == [ids[2]]


def test_by_the_time_they_were_created(store: JobStore, ids: list[str]) -> None:
    second = store.get(ids[1]).created_at
    assert found(store, created_after=second) == [ids[3], ids[2], ids[1]]
    assert found(store, created_before=second) == [ids[0]]
    assert found(store, created_after=second, created_before=second) == []
    assert found(store, created_after=second + timedelta(hours=1)) == []


def test_by_labels_that_were_changed(store: JobStore, ids: list[str]) -> None:
    store.change(ids[3], JobChanges(labels={"team": "nlp"}))
    store.change(ids[0], JobChanges(name="renamed"))
    store.change(ids[2], JobChanges(labels={}))
    assert found(store, labels=(("team", "nlp"),)) == [ids[3], ids[0]]


def test_a_page_of_long_specs_ends_early_and_says_that_there_are_more(
    store: JobStore, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [store.create(spec).id for _ in range(3)][::-1]
    size = len(spec.model_dump_json())
    for bytes_of_page, pages in ((1, [1, 1, 1]), (2 * size + 1, [2, 1]), (10 * size, [3])):
        monkeypatch.setattr(filters, "PAGE_BYTES", bytes_of_page)
        found: list[str] = []
        seen: list[int] = []
        more = True
        while more:
            wanted = JobFilter(before=found[-1] if found else None)
            page, more = store.page(wanted, project="default", limit=50)
            seen.append(len(page))
            found += [job.id for job in page]
        assert (found, seen) == (ids, pages)
