"""A tar archive that is never written: its headers are made, its files are read as they are sent.

The sizes of all files are known, so every byte of the archive has a known place. Its length can
be said before it is read, and a part of it can be sent without the parts before it.
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
    """A file of the archive: `name` in the archive, `key` where it is read."""

    name: str
    key: str
    size: int
    sha256: str
    modified_at: datetime

    @property
    def header(self) -> bytes:
        """The same bytes for the same file, whoever asks."""
        entry = tarfile.TarInfo(self.name)
        entry.size = self.size
        entry.mtime = int(self.modified_at.timestamp())
        return entry.tobuf(tarfile.PAX_FORMAT)

    @property
    def padding(self) -> bytes:
        return bytes(-self.size % tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class _Piece:
    """Bytes of the archive that lie together: made here, or those of a file."""

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
        """The bytes of [start, end) of the archive."""
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
    """Another one whenever a byte of the archive is another."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.header)
        digest.update(bytes.fromhex(file.sha256))
    return digest.hexdigest()
