"""The bytes of datasets: files `uploads/<dataset>/<start>-<random>` in the service's storage.

The parts of a dataset are never joined in the storage. They are read one after the other. So an
upload needs no second copy, and any process of the API can receive the next part.
"""

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from jobs.datasets.store import DatasetStore, UploadPart
from jobs.errors import ChecksumMismatch, DatasetNotFound, OffsetMismatch, StorageError
from jobs.schemas.datasets import DatasetStatus, UploadedDataset
from jobs.storage import Storage

logger = logging.getLogger(__name__)


UPLOADS = "uploads"


def folder_of(dataset_id: str) -> str:
    return f"{UPLOADS}/{dataset_id}"


def append(
    store: DatasetStore, storage: Storage, project: str, dataset: UploadedDataset, file: Path
) -> UploadedDataset:
    """Add the bytes of `file` to the dataset. Raise `OffsetMismatch` if other bytes came first."""
    key = f"{folder_of(dataset.id)}/{dataset.received:020d}-{secrets.token_hex(8)}"
    part = UploadPart(dataset.received, file.stat().st_size, key)
    storage.upload(file, key)
    try:
        return store.add_part(project, dataset.id, part)
    except (OffsetMismatch, DatasetNotFound):  # after any other error the part may have been added
        storage.delete(key)
        raise


def read(storage: Storage, parts: Sequence[UploadPart]) -> Iterator[bytes]:
    for part in parts:
        yield from storage.read(part.key, 0, part.size)


def finish(
    store: DatasetStore, storage: Storage, project: str, dataset: UploadedDataset
) -> UploadedDataset:
    """Make a dataset ready for jobs if all its bytes are received.

    Raise `ChecksumMismatch` if it does not have the announced SHA-256. Then its bytes are deleted,
    and the upload must start over.
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
    """Delete the bytes of deleted datasets, and then their rows.

    The row goes last, so that the next round finds what a crash left behind.
    """
    for dataset_id in store.deleted():
        open_storage().delete(folder_of(dataset_id))
        store.forget(dataset_id)
        logger.info("dataset %s: removed from the storage", dataset_id)
