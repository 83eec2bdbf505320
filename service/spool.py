"""A request's body on its way to the storage: through a file of bounded size, part by part."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from jobs.datasets.models import Dataset
from jobs.errors import UploadTooLarge
from jobs.leftovers import SPOOL

PART_BYTES = 64 << 20  # what one upload needs of this machine's disk, and may have to send again
BUFFER_BYTES = 1 << 20

Keep = Callable[[Dataset, Path], Dataset]  # stores the bytes of a file as the next part


async def receive(body: AsyncIterator[bytes], dataset: Dataset, keep: Keep) -> Dataset:
    """The dataset with the bytes of `body`; a connection that breaks loses none that came.

    Raises `UploadTooLarge` for more bytes than were announced, and what `keep` raises.
    """
    with TemporaryDirectory(prefix=SPOOL) as folder:
        spool = _Spool(Path(folder) / "part", dataset, keep)
        try:
            async for chunk in body:
                await spool.add(chunk)
        except ClientDisconnect:
            pass
        await spool.flush()
    return spool.dataset


class _Spool:
    def __init__(self, file: Path, dataset: Dataset, keep: Keep) -> None:
        self.dataset = dataset
        self._file = file
        self._keep = keep
        self._buffer = bytearray()
        self._size = 0  # of what is in the file

    async def add(self, chunk: bytes) -> None:
        self._buffer += chunk
        came = self._size + len(self._buffer)
        if self.dataset.received + came > self.dataset.size:
            raise UploadTooLarge(
                f"Dataset {self.dataset.id} was announced with {self.dataset.size} bytes; "
                "more have come."
            )
        if len(self._buffer) >= BUFFER_BYTES:
            await run_in_threadpool(self._write)
        if self._size >= PART_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Make a part of what has come."""
        await run_in_threadpool(self._flush)

    def _write(self) -> None:
        with self._file.open("ab") as file:
            file.write(self._buffer)
        self._size += len(self._buffer)
        self._buffer.clear()

    def _flush(self) -> None:
        if self._buffer:
            self._write()
        if self._size:
            self.dataset = self._keep(self.dataset, self._file)
            self._file.unlink()
            self._size = 0
