"""Download files of a job in pieces over several connections. A broken download can continue."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from relora_core.files import sha256, sync
from service.client.errors import ApiError, CorruptDownload, Unreachable
from service.client.requests import Request, nothing
from service.client.retry import RetryBudget
from service.client.transport import Transport
from service.schemas.responses import StoredArtifact

CONNECTIONS = 4
PIECE_BYTES = 16 << 20
PARTIAL_CONTENT = 206


@dataclass(frozen=True)
class Received:
    """Progress of a download: `count` bytes of a file have arrived or were already there."""

    path: str
    size: int  # of the whole file
    count: int


Listener = Callable[[Received], None]
"""Is told of what arrives, by several threads at once."""


def ignore(_: Received) -> None:
    pass


@dataclass(frozen=True)
class Piece:
    number: int
    start: int
    end: int


class PartialFile:
    """An incomplete file, and a journal beside it with the numbers of the pieces that are here.

    If the sha256 of the file has changed, the download starts over.
    """

    def __init__(self, artifact: StoredArtifact, file: Path) -> None:
        self.artifact = artifact
        self.file = file
        self._content = file.with_name(f".{file.name}.part")
        self._journal = file.with_name(f".{file.name}.pieces")
        self._lock = threading.Lock()
        self._here = self._read_journal()

    def begin(self) -> None:
        if not self._here:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self._content.write_bytes(b"")
            self._journal.write_text(f"{self._title}\n")

    def open(self, position: int) -> BinaryIO:
        """Open the incomplete file to write from `position` on."""
        file = self._content.open("r+b")
        file.seek(position)
        return file

    @property
    def pieces(self) -> Iterator[tuple[Piece, bool]]:
        """Yield each piece, and True if it is here."""
        size = self.artifact.size
        for number, start in enumerate(range(0, size, PIECE_BYTES)):
            yield Piece(number, start, min(start + PIECE_BYTES, size)), number in self._here

    def note(self, piece: Piece) -> None:
        with self._lock, self._journal.open("a") as journal:
            journal.write(f"{piece.number}\n")

    def finish(self) -> None:
        """Verify the sha256 and move the file to its place. Raise `CorruptDownload` if wrong."""
        sync(self._content)
        whole = sha256(self._content) == self.artifact.sha256
        self._journal.unlink()
        if not whole:
            self._content.unlink()
            raise CorruptDownload(f"{self.artifact.path} arrived damaged; try again")
        self._content.replace(self.file)

    @property
    def _title(self) -> str:
        return f"{self.artifact.sha256} in pieces of {PIECE_BYTES}"

    def _read_journal(self) -> set[int]:
        if not (self._journal.is_file() and self._content.is_file()):
            return set()
        title, *numbers = self._journal.read_text().split("\n")
        # The text after the last newline is a number that was not completely written.
        return {int(number) for number in numbers[:-1]} if title == self._title else set()


class Download:
    def __init__(
        self, transport: Transport, directory: Path, connections: int, listener: Listener
    ) -> None:
        self._transport = transport
        self._directory = directory
        self._connections = connections
        self._listener = listener
        self._stopped = threading.Event()

    def fetch(self, artifacts: Sequence[StoredArtifact]) -> Sequence[Path]:
        files = [self._place(artifact) for artifact in artifacts]
        with ThreadPoolExecutor(self._connections) as pool:
            try:
                for artifact, file in zip(artifacts, files, strict=True):
                    self._fetch(artifact, file, pool)
            finally:
                self._stopped.set()
        return files

    def _place(self, artifact: StoredArtifact) -> Path:
        file = self._directory / artifact.path
        if not file.resolve().is_relative_to(self._directory.resolve()):
            raise CorruptDownload(f"{artifact.path!r} would be outside of {self._directory}")
        return file

    def _fetch(self, artifact: StoredArtifact, file: Path, pool: ThreadPoolExecutor) -> None:
        if file.is_file() and sha256(file) == artifact.sha256:
            self._tell(artifact, artifact.size)
            return
        part = PartialFile(artifact, file)
        part.begin()
        tasks = [pool.submit(self._fetch_piece, part, piece) for piece in self._missing(part)]
        for task in tasks:
            task.result()
        part.finish()

    def _missing(self, part: PartialFile) -> Iterator[Piece]:
        for piece, is_here in part.pieces:
            if is_here:
                self._tell(part.artifact, piece.end - piece.start)
            else:
                yield piece

    def _fetch_piece(self, part: PartialFile, piece: Piece) -> None:
        """Fetch a piece. If the connection breaks, the next one asks only for the rest."""
        budget = RetryBudget()
        with part.open(piece.start) as output:
            while output.tell() < piece.end and not self._stopped.is_set():
                error: ApiError | Unreachable | None = None
                try:
                    for chunk in self._read(part.artifact, output.tell(), piece.end):
                        output.write(chunk)
                        budget.reset()
                        self._tell(part.artifact, len(chunk))
                except (ApiError, Unreachable) as caught:
                    error = caught
                if output.tell() < piece.end:
                    self._stopped.wait(budget.next_delay(error))
            is_whole = output.tell() == piece.end
        if is_whole:
            part.note(piece)

    def _read(self, artifact: StoredArtifact, start: int, end: int) -> Iterator[bytes]:
        is_part = (start, end) != (0, artifact.size)
        headers = {"Accept-Encoding": "identity"}
        if is_part:
            headers["Range"] = f"bytes={start}-{end - 1}"
        request = Request("GET", artifact.url, nothing, headers=headers)
        with self._transport.open(request) as response:
            if is_part and response.status_code != PARTIAL_CONTENT:
                raise CorruptDownload(f"{response.url.host} sends no parts of {artifact.path}")
            for chunk in response.iter_raw():
                yield chunk
                if self._stopped.is_set():
                    return

    def _tell(self, artifact: StoredArtifact, count: int) -> None:
        self._listener(Received(artifact.path, artifact.size, count))
