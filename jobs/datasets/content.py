"""The bytes of datasets: `uploads/<dataset>/<start>-<chance>` in the service's storage.

A dataset is never put together in the storage: its parts are read one after the other. So an
upload costs no second copy, and any process of the API may take the next part.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jobs.datasets.store import DatasetStore, Part
from jobs.errors import ChecksumMismatch, DatasetNotFound, OffsetMismatch, StorageError
from jobs.schemas.datasets import Dataset, DatasetStatus
from jobs.storage import Storage

logger = logging.getLogger(__name__)


UPLOADS = "uploads"


def folder_of(dataset_id: str) -> str:
    return f"{UPLOADS}/{dataset_id}"


def append(
    store: DatasetStore, storage: Storage, project: str, dataset: Dataset, file: Path
) -> Dataset:
    """Add the bytes of `file` to what is here. Raises `OffsetMismatch` if others came first."""
    key = f"{folder_of(dataset.id)}/{dataset.received:020d}-{secrets.token_hex(8)}"
    part = Part(dataset.received, file.stat().st_size, key)
    storage.upload(file, key)
    try:
        return store.add_part(project, dataset.id, part)
    except (OffsetMismatch, DatasetNotFound):  # after any other error it may have been added
        storage.delete(key)
        raise


def read(storage: Storage, parts: Sequence[Part]) -> Iterator[bytes]:
    for part in parts:
        yield from storage.read(part.key, 0, part.size)


def finish(store: DatasetStore, storage: Storage, project: str, dataset: Dataset) -> Dataset:
    """Make a dataset that is here to its last byte ready for jobs.

    Raises `ChecksumMismatch` if it is not what was announced; its upload starts over.
    """
    if dataset.status is DatasetStatus.READY or dataset.received < dataset.size:
        return dataset
    parts = store.parts(dataset.id)
    digest = hashlib.sha256()
    try:
        for chunk in read(storage, parts):
            digest.update(chunk)
    except FileNotFoundError as error:
        raise StorageError(f"Bytes of dataset {dataset.id} are not in the storage.") from error
    if digest.hexdigest() == dataset.sha256:
        store.finish(dataset)
        return store.get(project, dataset.id)
    if store.start_over(dataset):
        for part in parts:
            storage.delete(part.key)
    raise ChecksumMismatch(dataset.id, announced=dataset.sha256, found=digest.hexdigest())


def remove_deleted(store: DatasetStore, open_storage: Callable[[], Storage]) -> None:
    """The bytes first, then the row: what a crash leaves behind is found by the next round."""
    for dataset_id in store.deleted():
        open_storage().delete(folder_of(dataset_id))
        store.forget(dataset_id)
        logger.info("dataset %s: removed from the storage", dataset_id)
