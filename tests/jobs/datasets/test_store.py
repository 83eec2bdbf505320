"""Datasets and their parts, on both databases."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePath
from threading import Barrier
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.access.projects import ProjectStore
from jobs.database.engine import open_engine
from jobs.datasets.store import DatasetStore, UploadPart
from jobs.errors import DatasetInUse, DatasetNotFound, OffsetMismatch, QuotaExceeded
from jobs.schemas.datasets import DatasetStatus, NewDataset, UploadedDataset
from jobs.schemas.job import JobSpec
from jobs.schemas.projects import NewProject, Quotas
from jobs.schemas.status import JobStatus, RequestedAction
from jobs.store.jobs import JobStore
from relora_core.data.file_formats import is_readable

NEW = NewDataset(name="corpus", filename="corpus.jsonl.gz", size=100, sha256="0" * 64)


@pytest.fixture
def datasets(database_url: str) -> Iterator[DatasetStore]:
    engine = open_engine(database_url)
    yield DatasetStore(engine)
    engine.dispose()


@pytest.fixture
def dataset(datasets: DatasetStore) -> UploadedDataset:
    return datasets.create("default", NEW)


def part(start: int, size: int, key: str = "key") -> UploadPart:
    return UploadPart(start, size, key)


def test_a_dataset_is_announced_without_a_byte(
    datasets: DatasetStore, dataset: UploadedDataset
) -> None:
    assert dataset.uri == f"upload://{dataset.id}"
    assert (dataset.status, dataset.received, dataset.size) == ("uploading", 0, 100)
    assert datasets.get("default", dataset.id) == dataset


def test_parts_follow_each_other_without_gaps(
    datasets: DatasetStore, dataset: UploadedDataset
) -> None:
    datasets.add_part("default", dataset.id, part(0, 60, "a"))
    for start in (0, 59, 61):
        with pytest.raises(OffsetMismatch, match="has 60 bytes; go on from there") as refused:
            datasets.add_part("default", dataset.id, part(start, 10))
        assert refused.value.received == 60
    assert datasets.add_part("default", dataset.id, part(60, 40, "b")).received == 100
    assert datasets.parts(dataset.id) == [part(0, 60, "a"), part(60, 40, "b")]


def test_a_dataset_that_is_ready_takes_no_more(
    datasets: DatasetStore, dataset: UploadedDataset
) -> None:
    whole = datasets.add_part("default", dataset.id, part(0, 100))
    assert datasets.finish(whole) is True
    assert datasets.statuses("default", [dataset.id]) == {dataset.id: DatasetStatus.READY}
    with pytest.raises(OffsetMismatch):
        datasets.add_part("default", dataset.id, part(100, 1))


def test_what_was_found_counts_only_for_what_was_read(
    datasets: DatasetStore, dataset: UploadedDataset
) -> None:
    whole = datasets.add_part("default", dataset.id, part(0, 100, "wrong"))
    assert datasets.start_over(whole) is True
    assert datasets.parts(dataset.id) == []
    again = datasets.add_part("default", dataset.id, part(0, 100, "right"))
    assert datasets.start_over(whole) is False
    assert datasets.finish(whole) is False
    assert datasets.finish(again) is True


def test_a_project_sees_its_own_datasets(datasets: DatasetStore, dataset: UploadedDataset) -> None:
    newer = datasets.create("default", NEW)
    assert [one.id for one in datasets.list("default")] == [newer.id, dataset.id]
    assert [one.id for one in datasets.list("default", before=newer.id)] == [dataset.id]
    assert datasets.list("other") == []
    assert datasets.statuses("other", [dataset.id]) == {}
    for ask in (datasets.get, datasets.delete):
        with pytest.raises(DatasetNotFound):
            ask("other", dataset.id)
    with pytest.raises(DatasetNotFound):
        datasets.add_part("other", dataset.id, part(1, 1))


def reading(spec: JobSpec, **data: object) -> JobSpec:
    return JobSpec.model_validate({**spec.model_dump(mode="json"), "data": data})


@pytest.mark.parametrize("place", ["train", "one of several", "validation"])
def test_a_dataset_is_kept_while_a_job_needs_it(
    datasets: DatasetStore, dataset: UploadedDataset, store: JobStore, spec: JobSpec, place: str
) -> None:
    other = {"uri": "/corpus.txt"}
    data: dict[str, Any] = {
        "train": {"train": {"uri": dataset.uri}},
        "one of several": {"train": {"uri": ["/corpus.txt", dataset.uri]}},
        "validation": {"train": other, "validation": {"uri": dataset.uri}},
    }
    job = store.create(reading(spec, **data[place]))
    with pytest.raises(DatasetInUse, match=f"jobs that are not over: {job.id}"):
        datasets.delete("default", dataset.id)
    assert datasets.get("default", dataset.id) == dataset
    store.request_action(job.id, RequestedAction.CANCEL)
    datasets.delete("default", dataset.id)
    assert datasets.list("default") == []
    with pytest.raises(DatasetNotFound):
        datasets.get("default", dataset.id)
    assert datasets.deleted() == [dataset.id]


def test_a_job_whose_dataset_is_gone_is_not_queued(
    datasets: DatasetStore, dataset: UploadedDataset, store: JobStore, spec: JobSpec
) -> None:
    asked = reading(spec, train={"uri": dataset.uri})
    job = store.create(asked)
    store.request_action(job.id, RequestedAction.CANCEL)
    datasets.delete("default", dataset.id)
    for queue in (partial(store.retry, job.id), partial(store.create, asked)):
        with pytest.raises(DatasetNotFound, match=dataset.id):
            queue()
    assert [one.status for one in store.list()] == [JobStatus.CANCELLED]


def test_of_a_submit_and_a_deletion_at_once_one_wins(
    datasets: DatasetStore, store: JobStore, spec: JobSpec
) -> None:
    together = Barrier(2)

    def succeeds(act: Callable[[], object]) -> bool:
        together.wait()
        try:
            act()
        except (DatasetInUse, DatasetNotFound):
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            dataset = datasets.create("default", NEW)
            asked = reading(spec, train={"uri": dataset.uri})
            submit = threads.submit(succeeds, partial(store.create, asked))
            delete = threads.submit(succeeds, partial(datasets.delete, "default", dataset.id))
            assert submit.result() != delete.result()


@pytest.mark.parametrize("project", ["default", "stranger"])
def test_a_text_in_a_name_or_a_label_keeps_no_dataset(
    datasets: DatasetStore,
    dataset: UploadedDataset,
    store: JobStore,
    projects: ProjectStore,
    spec: JobSpec,
    project: str,
) -> None:
    projects.create(NewProject(name="stranger"))
    text = {"name": dataset.uri, "labels": {"x": dataset.uri}}
    store.create(spec.model_copy(update=text), project=project)
    datasets.delete("default", dataset.id)
    assert datasets.list("default") == []


def test_what_is_deleted_is_forgotten_with_its_parts(
    datasets: DatasetStore, dataset: UploadedDataset
) -> None:
    datasets.add_part("default", dataset.id, part(0, 100))
    datasets.delete("default", dataset.id)
    datasets.forget(dataset.id)
    assert datasets.deleted() == []
    assert datasets.parts(dataset.id) == []


def test_an_upload_that_gets_no_byte_is_given_up(
    datasets: DatasetStore, dataset: UploadedDataset
) -> None:
    assert datasets.expire_uploads(60) == []
    ready = datasets.add_part("default", datasets.create("default", NEW).id, part(0, 100))
    datasets.finish(ready)
    assert datasets.expire_uploads(-1) == [dataset.id]
    assert datasets.deleted() == [dataset.id]


def test_an_announced_dataset_counts_for_the_quota(
    datasets: DatasetStore, database_url: str
) -> None:
    engine = open_engine(database_url)
    projects = ProjectStore(engine)
    projects.create(NewProject(name="small", quotas=Quotas(storage_bytes=150)))
    first = datasets.create("small", NEW)
    assert projects.report("small").usage.storage_bytes == 100
    with pytest.raises(QuotaExceeded):
        datasets.create("small", NEW)
    datasets.delete("small", first.id)
    datasets.forget(first.id)
    assert datasets.create("small", NEW).size == 100
    engine.dispose()


@pytest.mark.parametrize(
    "filename", ["corpus.xlsx", "corpus", "../corpus.txt", "corpus*.txt", "x.parquet.gz", ".txt"]
)
def test_a_file_that_the_trainer_cannot_read_is_refused(filename: str) -> None:
    with pytest.raises(ValidationError, match="known formats are txt"):
        NewDataset(name="x", filename=filename, size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    "filename", ["a.txt", "a.b-c_d.jsonl", "a.json.zst", "a.txt.gz", "a.parquet", "a.npy", "a.bin"]
)
def test_a_file_that_the_trainer_reads_is_taken(filename: str) -> None:
    new = NewDataset(name="x", filename=filename, size=1, sha256="0" * 64)
    assert is_readable(PurePath(new.filename))
