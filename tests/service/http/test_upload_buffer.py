"""Uploads on their way through this machine's disk."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.schemas.datasets import DatasetStatus, UploadedDataset
from service.http.upload_buffer import BUFFER_BYTES, SpoolSpace, receive

UPLOADS = 8
SPACE = 3 * BUFFER_BYTES
SIZE = 4 * BUFFER_BYTES
NEW = UploadedDataset.model_validate(
    {
        "id": "ds_1",
        "uri": "upload://ds_1",
        "name": "wiki",
        "filename": "wiki.txt",
        "size": SIZE,
        "sha256": "0" * 64,
        "received": 0,
        "status": DatasetStatus.UPLOADING,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }
)


def keep(dataset: UploadedDataset, file: Path) -> UploadedDataset:
    return dataset.model_copy(update={"received": dataset.received + file.stat().st_size})


def test_uploads_at_once_share_a_bounded_space_on_the_disk_and_all_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    on_disk = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(SIZE // BUFFER_BYTES):
            on_disk.append(sum(file.stat().st_size for file in tmp_path.rglob("part")))
            yield bytes(BUFFER_BYTES)

    async def upload() -> list[UploadedDataset]:
        space = SpoolSpace(SPACE)
        uploads = [receive(body(), NEW, keep, space) for _ in range(UPLOADS)]
        return await asyncio.wait_for(asyncio.gather(*uploads), 20)

    assert [dataset.received for dataset in asyncio.run(upload())] == [SIZE] * UPLOADS
    assert 0 < max(on_disk) <= SPACE
