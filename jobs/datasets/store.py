"""The store of datasets in SQLite or PostgreSQL. Their bytes are in the storage.

Every method is one transaction. A part belongs to the dataset as soon as its row exists. The row
is inserted only if the part begins where the last part ends. So if two clients send the same
bytes, one is refused, and neither can overwrite what the other sent.
"""

import builtins
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)

from jobs.database.engine import READ_ONLY
from jobs.database.tables.datasets import dataset_parts, datasets
from jobs.errors import DatasetInUse, DatasetNotFound, OffsetMismatch
from jobs.inputs import users_of
from jobs.scheduling.quotas import check_storage
from jobs.schemas.datasets import SCHEME, DatasetStatus, NewDataset, UploadedDataset
from jobs.schemas.ids import new_id


@dataclass(frozen=True)
class UploadPart:
    """A part of a dataset: `size` bytes from offset `start`, in the storage under `key`."""

    start: int
    size: int
    key: str


class DatasetStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def create(self, project: str, new: NewDataset) -> UploadedDataset:
        """Announce a dataset. Its full size counts for the storage quota from now on.

        Raise `QuotaExceeded` if the quota has no room for it.
        """
        now = datetime.now(UTC)
        statement = insert(datasets).values(
            id=new_id("ds_"),
            project=project,
            **new.model_dump(),
            status=DatasetStatus.UPLOADING,
            received=0,
            created_at=now,
            updated_at=now,
        )
        with self._engine.begin() as connection:
            check_storage(connection, project, asked=new.size)
            return _dataset_from(connection.execute(statement.returning(datasets)).one())

    def get(self, project: str, dataset_id: str) -> UploadedDataset:
        with self._reads.begin() as connection:
            return _get(connection, project, dataset_id)

    def list(
        self, project: str, *, limit: int = 50, before: str | None = None
    ) -> builtins.list[UploadedDataset]:
        """Return datasets, the newest first. `before` is the last id of the previous page."""
        query = select(datasets).where(datasets.c.project == project, _VISIBLE)
        if before is not None:
            query = query.where(datasets.c.id < before)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(datasets.c.id.desc()).limit(limit))
            return [_dataset_from(row) for row in rows]

    def find(self, project: str, ids: Collection[str]) -> builtins.list[UploadedDataset]:
        """Return the datasets of the project that have one of these ids."""
        if not ids:
            return []
        query = select(datasets).where(
            datasets.c.project == project, datasets.c.id.in_(ids), _VISIBLE
        )
        with self._reads.begin() as connection:
            return [_dataset_from(row) for row in connection.execute(query)]

    def statuses(self, project: str, ids: Collection[str]) -> dict[str, DatasetStatus]:
        """Return the statuses of those datasets that the project has, by id."""
        return {dataset.id: dataset.status for dataset in self.find(project, ids)}

    def parts(self, dataset_id: str) -> builtins.list[UploadPart]:
        """Return the parts of a dataset in the order of their bytes."""
        query = select(dataset_parts).where(dataset_parts.c.dataset_id == dataset_id)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(dataset_parts.c.start))
            return [UploadPart(row.start, row.size, row.key) for row in rows]

    def add_part(self, project: str, dataset_id: str, part: UploadPart) -> UploadedDataset:
        """Add a part. Raise `OffsetMismatch` unless it begins where the received bytes end."""
        next_one = and_(_UPLOADING, datasets.c.received == part.start)
        with self._engine.begin() as connection:
            dataset = _change(
                connection, dataset_id, next_one, received=datasets.c.received + part.size
            )
            if dataset is None:
                received = _get(connection, project, dataset_id).received
                raise OffsetMismatch(dataset_id, part.start, received)
            values = {"dataset_id": dataset_id, "start": part.start}
            connection.execute(insert(dataset_parts).values(**values, size=part.size, key=part.key))
        return dataset

    def finish(self, dataset: UploadedDataset) -> bool:
        """Make a verified dataset ready; return False if it has changed since it was read."""
        with self._engine.begin() as connection:
            unchanged = _unchanged(dataset)
            done = _change(connection, dataset.id, unchanged, status=DatasetStatus.READY)
        return done is not None

    def start_over(self, dataset: UploadedDataset) -> bool:
        """Remove all parts of a dataset with a wrong checksum, so that its upload starts over.

        Return False if the dataset has changed since it was read; then nothing is removed.
        """
        with self._engine.begin() as connection:
            done = _change(connection, dataset.id, _unchanged(dataset), received=0)
            if done is not None:
                _forget_parts(connection, dataset.id)
        return done is not None

    def delete(self, project: str, dataset_id: str) -> None:
        """Delete a dataset. It is hidden at once, and its bytes are deleted later.

        Raise `DatasetInUse` while it is an input of a job that is not over.
        """
        mine = and_(datasets.c.project == project, _VISIBLE)
        with self._engine.begin() as connection:
            if _change(connection, dataset_id, mine, status=DatasetStatus.DELETED) is None:
                raise DatasetNotFound(dataset_id)
            if users := users_of(connection, dataset_id):
                raise DatasetInUse(dataset_id, users)

    # --- for the garbage collection --------------------------------------------------------

    def expire_uploads(self, seconds: float) -> builtins.list[str]:
        """Delete the uploads that received no byte for `seconds`; return their ids."""
        abandoned = update(datasets).where(_abandoned(seconds))
        statement = abandoned.values(status=DatasetStatus.DELETED)
        with self._engine.begin() as connection:
            return list(connection.scalars(statement.returning(datasets.c.id)))

    def given_up(self, seconds: float) -> builtins.list[UploadedDataset]:
        """Return the datasets that `expire_uploads` would delete, and the deleted datasets."""
        gone = or_(_abandoned(seconds), datasets.c.status == DatasetStatus.DELETED)
        with self._reads.begin() as connection:
            rows = connection.execute(select(datasets).where(gone).order_by(datasets.c.id))
            return [_dataset_from(row) for row in rows]

    def existing(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids that are datasets of any project."""
        query = select(datasets.c.id).where(datasets.c.id.in_(ids), _VISIBLE)
        with self._reads.begin() as connection:
            return set(connection.scalars(query))

    def keys(self) -> set[str]:
        """Return the storage keys of all parts of all datasets."""
        with self._reads.begin() as connection:
            return set(connection.scalars(select(dataset_parts.c.key)))

    def deleted(self) -> builtins.list[str]:
        """Return the ids of deleted datasets whose bytes may still be in the storage."""
        query = select(datasets.c.id).where(datasets.c.status == DatasetStatus.DELETED)
        with self._reads.begin() as connection:
            return list(connection.scalars(query))

    def forget(self, dataset_id: str) -> None:
        """Delete the rows of a deleted dataset, after its bytes."""
        with self._engine.begin() as connection:
            _forget_parts(connection, dataset_id)
            connection.execute(delete(datasets).where(datasets.c.id == dataset_id))


_UPLOADING = datasets.c.status == DatasetStatus.UPLOADING
_VISIBLE = datasets.c.status != DatasetStatus.DELETED


def _abandoned(seconds: float) -> ColumnElement[bool]:
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    return and_(_UPLOADING, datasets.c.updated_at < before)


def _unchanged(dataset: UploadedDataset) -> ColumnElement[bool]:
    return and_(_UPLOADING, datasets.c.updated_at == dataset.updated_at)


def _get(connection: Connection, project: str, dataset_id: str) -> UploadedDataset:
    mine = and_(datasets.c.id == dataset_id, datasets.c.project == project, _VISIBLE)
    row = connection.execute(select(datasets).where(mine)).one_or_none()
    if row is None:
        raise DatasetNotFound(dataset_id)
    return _dataset_from(row)


def _change(
    connection: Connection, dataset_id: str, guard: ColumnElement[bool], **values: object
) -> UploadedDataset | None:
    values = {"updated_at": datetime.now(UTC), **values}
    statement = update(datasets).where(datasets.c.id == dataset_id, guard).values(values)
    row = connection.execute(statement.returning(datasets)).one_or_none()
    return None if row is None else _dataset_from(row)


def _forget_parts(connection: Connection, dataset_id: str) -> None:
    connection.execute(delete(dataset_parts).where(dataset_parts.c.dataset_id == dataset_id))


def _dataset_from(row: Row[*tuple[Any, ...]]) -> UploadedDataset:
    return UploadedDataset(
        id=row.id,
        uri=SCHEME + row.id,
        name=row.name,
        filename=row.filename,
        size=row.size,
        sha256=row.sha256,
        status=row.status,
        received=row.received,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
