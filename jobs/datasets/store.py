"""What is known of datasets, in SQLite or PostgreSQL; their bytes are in the storage.

Every method is one transaction. A part counts from the moment that its row is there, and its
row is only made where the part before it ends; so of two clients that send the same bytes one
is refused, and neither can overwrite what the other sent.
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
from jobs.schemas.datasets import SCHEME, Dataset, DatasetStatus, NewDataset
from jobs.schemas.ids import new_id


@dataclass(frozen=True)
class Part:
    """Bytes of a dataset from `start` on, in the storage under `key`."""

    start: int
    size: int
    key: str


class DatasetStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def create(self, project: str, new: NewDataset) -> Dataset:
        """Its whole size counts from now on. Raises `QuotaExceeded`."""
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

    def get(self, project: str, dataset_id: str) -> Dataset:
        with self._reads.begin() as connection:
            return _get(connection, project, dataset_id)

    def list(
        self, project: str, *, limit: int = 50, before: str | None = None
    ) -> builtins.list[Dataset]:
        """The newest first; `before` is the id of the last of the page before."""
        query = select(datasets).where(datasets.c.project == project, _VISIBLE)
        if before is not None:
            query = query.where(datasets.c.id < before)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(datasets.c.id.desc()).limit(limit))
            return [_dataset_from(row) for row in rows]

    def find(self, project: str, ids: Collection[str]) -> builtins.list[Dataset]:
        """Those of the ids that are datasets of the project."""
        if not ids:
            return []
        query = select(datasets).where(
            datasets.c.project == project, datasets.c.id.in_(ids), _VISIBLE
        )
        with self._reads.begin() as connection:
            return [_dataset_from(row) for row in connection.execute(query)]

    def statuses(self, project: str, ids: Collection[str]) -> dict[str, DatasetStatus]:
        """Of those that the project has."""
        return {dataset.id: dataset.status for dataset in self.find(project, ids)}

    def parts(self, dataset_id: str) -> builtins.list[Part]:
        """In the order of their bytes."""
        query = select(dataset_parts).where(dataset_parts.c.dataset_id == dataset_id)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(dataset_parts.c.start))
            return [Part(row.start, row.size, row.key) for row in rows]

    def add_part(self, project: str, dataset_id: str, part: Part) -> Dataset:
        """Raises `OffsetMismatch` unless it begins where the bytes that are here end."""
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

    def finish(self, dataset: Dataset) -> bool:
        """Let jobs use what was found right; False if it has changed since `dataset` was read."""
        with self._engine.begin() as connection:
            unchanged = _unchanged(dataset)
            done = _change(connection, dataset.id, unchanged, status=DatasetStatus.READY)
        return done is not None

    def start_over(self, dataset: Dataset) -> bool:
        """Forget the bytes of what was found wrong, unless it has changed since it was read."""
        with self._engine.begin() as connection:
            done = _change(connection, dataset.id, _unchanged(dataset), received=0)
            if done is not None:
                _forget_parts(connection, dataset.id)
        return done is not None

    def delete(self, project: str, dataset_id: str) -> None:
        """Out of sight at once. Raises `DatasetInUse` while it is an input of a job that is not
        over.
        """
        mine = and_(datasets.c.project == project, _VISIBLE)
        with self._engine.begin() as connection:
            if _change(connection, dataset_id, mine, status=DatasetStatus.DELETED) is None:
                raise DatasetNotFound(dataset_id)
            if users := users_of(connection, dataset_id):
                raise DatasetInUse(dataset_id, users)

    # --- what the sweep does ---------------------------------------------------------------

    def expire_uploads(self, seconds: float) -> builtins.list[str]:
        """Delete those that got no byte for so long; return their ids."""
        abandoned = update(datasets).where(_abandoned(seconds))
        statement = abandoned.values(status=DatasetStatus.DELETED)
        with self._engine.begin() as connection:
            return list(connection.scalars(statement.returning(datasets.c.id)))

    def given_up(self, seconds: float) -> builtins.list[Dataset]:
        """Those that the next `expire_uploads` deletes, and deleted ones."""
        gone = or_(_abandoned(seconds), datasets.c.status == DatasetStatus.DELETED)
        with self._reads.begin() as connection:
            rows = connection.execute(select(datasets).where(gone).order_by(datasets.c.id))
            return [_dataset_from(row) for row in rows]

    def existing(self, ids: Collection[str]) -> set[str]:
        """Those of the ids that are datasets of any project."""
        query = select(datasets.c.id).where(datasets.c.id.in_(ids), _VISIBLE)
        with self._reads.begin() as connection:
            return set(connection.scalars(query))

    def keys(self) -> set[str]:
        """Of all parts of all datasets."""
        with self._reads.begin() as connection:
            return set(connection.scalars(select(dataset_parts.c.key)))

    def deleted(self) -> builtins.list[str]:
        """Those whose bytes may be in the storage still."""
        query = select(datasets.c.id).where(datasets.c.status == DatasetStatus.DELETED)
        with self._reads.begin() as connection:
            return list(connection.scalars(query))

    def forget(self, dataset_id: str) -> None:
        """Of a deleted one, when its bytes are gone."""
        with self._engine.begin() as connection:
            _forget_parts(connection, dataset_id)
            connection.execute(delete(datasets).where(datasets.c.id == dataset_id))


_UPLOADING = datasets.c.status == DatasetStatus.UPLOADING
_VISIBLE = datasets.c.status != DatasetStatus.DELETED


def _abandoned(seconds: float) -> ColumnElement[bool]:
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    return and_(_UPLOADING, datasets.c.updated_at < before)


def _unchanged(dataset: Dataset) -> ColumnElement[bool]:
    return and_(_UPLOADING, datasets.c.updated_at == dataset.updated_at)


def _get(connection: Connection, project: str, dataset_id: str) -> Dataset:
    mine = and_(datasets.c.id == dataset_id, datasets.c.project == project, _VISIBLE)
    row = connection.execute(select(datasets).where(mine)).one_or_none()
    if row is None:
        raise DatasetNotFound(dataset_id)
    return _dataset_from(row)


def _change(
    connection: Connection, dataset_id: str, guard: ColumnElement[bool], **values: object
) -> Dataset | None:
    values = {"updated_at": datetime.now(UTC), **values}
    statement = update(datasets).where(datasets.c.id == dataset_id, guard).values(values)
    row = connection.execute(statement.returning(datasets)).one_or_none()
    return None if row is None else _dataset_from(row)


def _forget_parts(connection: Connection, dataset_id: str) -> None:
    connection.execute(delete(dataset_parts).where(dataset_parts.c.dataset_id == dataset_id))


def _dataset_from(row: Row[*tuple[Any, ...]]) -> Dataset:
    return Dataset(
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
