"""The buffer of uploads: the body goes through a file of limited size to the storage, in parts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from jobs.errors import UploadTooLarge
from jobs.garbage.local_disk import SPOOL
from jobs.schemas.datasets import UploadedDataset
from relora_core.counted import counted

PART_BYTES = 64 << 20  # disk space that one upload needs; also what it may have to send again
BUFFER_BYTES = 1 << 20
SPOOL_BYTES = 16 * PART_BYTES  # disk space for all uploads of a process together

Keep = Callable[
    [UploadedDataset, Path], UploadedDataset
]  # stores the bytes of a file as the next part


class SpoolSpace:
    """The free disk space for uploads.

    While one upload waits for space, the others store their bytes in smaller parts.
    """

    def __init__(self, num_bytes: int = SPOOL_BYTES) -> None:
        self._free = num_bytes
        self._waiting = 0
        self._changed = asyncio.Condition()

    @property
    def is_short(self) -> bool:
        return self._waiting > 0

    async def take(self, num_bytes: int) -> None:
        async with self._changed:
            self._waiting += 1
            try:
                await self._changed.wait_for(lambda: self._free >= num_bytes)
            finally:
                self._waiting -= 1
            self._free -= num_bytes

    async def give_back(self, num_bytes: int) -> None:
        async with self._changed:
            self._free += num_bytes
            self._changed.notify_all()

    def has(self, num_bytes: int) -> bool:
        return self._free >= num_bytes


async def receive(
    body: AsyncIterator[bytes], dataset: UploadedDataset, keep: Keep, space: SpoolSpace
) -> UploadedDataset:
    """Append the bytes of `body` to the dataset, and return the dataset.

    If the connection breaks, the bytes that arrived are kept. Raise `UploadTooLarge` if there are
    more bytes than announced. Pass on errors of `keep`.
    """
    with TemporaryDirectory(prefix=SPOOL) as folder:
        spool = _Spool(Path(folder) / "part", dataset, keep, space)
        try:
            with suppress(ClientDisconnect):
                async for chunk in body:
                    await spool.add(chunk)
            await spool.flush()
        finally:
            await spool.close()
    return spool.dataset


class _Spool:
    def __init__(self, file: Path, dataset: UploadedDataset, keep: Keep, space: SpoolSpace) -> None:
        self.dataset = dataset
        self._file = file
        self._keep = keep
        self._space = space
        self._buffer = bytearray()
        self._size = 0  # bytes in the file

    async def add(self, chunk: bytes) -> None:
        self._buffer += chunk
        came = self._size + len(self._buffer)
        if self.dataset.received + came > self.dataset.size:
            raise UploadTooLarge(
                f"Dataset {self.dataset.id} was announced with "
                f"{counted(self.dataset.size, 'byte')}; more have come."
            )
        if len(self._buffer) >= BUFFER_BYTES:
            await self._write()
        if self._size >= PART_BYTES or self._space.is_short:
            await self._store()

    async def flush(self) -> None:
        """Store all bytes that have arrived as a part."""
        if self._buffer:
            await self._write()
        await self._store()

    async def close(self) -> None:
        await self._space.give_back(self._size)

    async def _write(self) -> None:
        size = len(self._buffer)
        if not self._space.has(size):
            await self._store()  # otherwise it could wait for space that it holds itself
        await self._space.take(size)
        self._size += size
        await run_in_threadpool(self._append)

    async def _store(self) -> None:
        if self._size:
            self.dataset = await run_in_threadpool(self._keep, self.dataset, self._file)
            self._file.unlink()
            size, self._size = self._size, 0
            await self._space.give_back(size)

    def _append(self) -> None:
        with self._file.open("ab") as file:
            file.write(self._buffer)
        self._buffer.clear()
