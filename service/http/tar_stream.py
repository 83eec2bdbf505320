"""A tar archive that is created while it is sent, and never stored.

The sizes of all files are known, so the position of every byte of the archive is known. Its length
is known before it is read, and a part of it can be sent without the parts before it.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.http.downloads import whole

ReadFile = Callable[[str, int, int], Iterator[bytes]]  # the bytes of [start, end) of a file
_END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class TarFile:
    """A file of the archive: its `name` in the archive, and its `key` in the storage."""

    name: str
    key: str
    size: int
    sha256: str
    modified_at: datetime

    @property
    def header(self) -> bytes:
        """Return the tar header. It is always the same for the same file."""
        entry = tarfile.TarInfo(self.name)
        entry.size = self.size
        entry.mtime = int(self.modified_at.timestamp())
        return entry.tobuf(tarfile.PAX_FORMAT)

    @property
    def padding(self) -> bytes:
        return bytes(-self.size % tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class _Piece:
    """A contiguous piece of the archive: the given bytes, or the content of a file."""

    start: int
    end: int
    content: bytes | TarFile


class TarStream:
    def __init__(self, files: Sequence[TarFile], read_file: ReadFile) -> None:
        self._read_file = read_file
        self._pieces = list(_placed(files))
        self.size = self._pieces[-1].end
        self.etag = _digest(files)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes of [start, end) of the archive."""
        for piece in self._pieces:
            first, last = max(start, piece.start), min(end, piece.end)
            if first < last:
                yield from self._read_piece(piece.content, first - piece.start, last - piece.start)

    def _read_piece(self, content: bytes | TarFile, start: int, end: int) -> Iterator[bytes]:
        if isinstance(content, bytes):
            yield content[start:end]
        else:
            yield from whole(self._read_file(content.key, start, end), end - start)


def _placed(files: Sequence[TarFile]) -> Iterator[_Piece]:
    place = 0
    contents: list[bytes | TarFile] = []
    for file in files:
        contents += [file.header, file, file.padding]
    for content in [*contents, _END]:
        size = len(content) if isinstance(content, bytes) else content.size
        yield _Piece(place, place + size, content)
        place += size


def _digest(files: Sequence[TarFile]) -> str:
    """Return a digest that changes whenever a byte of the archive changes."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.header)
        digest.update(bytes.fromhex(file.sha256))
    return digest.hexdigest()
