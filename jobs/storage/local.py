"""Storage in a folder of this machine, or of a network drive that all machines mount."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from jobs.errors import StorageError
from jobs.storage.protocol import CHUNK_BYTES, StoredFile, Unfinished, check_key, check_prefix
from relora_core.files import sync

_UNFINISHED = ".unfinished-"  # files that a crash left half-written; never listed
_TRIES = 100


class LocalStorage:
    def __init__(self, root: Path) -> None:
        self.root = root

    def ping(self) -> None:
        """Raise `StorageError` if files cannot be written. The root folder need not exist yet."""
        there = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise StorageError(f"The storage failed at {self.root}: {there} cannot be written to.")

    def check_mounted(self) -> None:
        """Raise `StorageError` if the root may be empty because its disk is not mounted.

        So it may be if the parent of the root is missing, or if the root is an empty folder that is
        no mount point now.
        """
        parent = self.root.parent
        with _named_errors(parent):
            if not parent.is_dir():
                raise StorageError(
                    f"The storage failed at {self.root}: {parent} is no folder. Mount its disk, or "
                    "make the folder if it was deleted."
                )
            if self.root.is_dir() and not self.root.is_mount() and _is_empty(self.root):
                raise StorageError(
                    f"The storage failed: {self.root} is empty. Mount its disk, or delete the "
                    "folder too if you deleted its files."
                )

    def upload(self, file: Path, key: str) -> None:
        with _named_errors(self._path(key)):
            _copy_whole(file, self._path(key))

    def create(self, key: str, content: bytes) -> bool:
        path = self._path(key)
        with _named_errors(path), _unfinished(path) as (temporary, writer):
            writer.write(content)
            _finish(writer, temporary)
            return _place_unless_there(temporary, path)

    def download(self, key: str, file: Path, *, version: str = "") -> None:  # noqa: ARG002 # a file has none
        with _named_errors(self._path(key)):
            _copy_whole(self._path(key), file)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        target = self.root / check_prefix(prefix)
        with _named_errors(target):
            paths = [target] if target.is_file() else target.rglob("*")
            files = [file for path in paths if (file := self._stored(path)) is not None]
        yield from sorted(files, key=lambda file: file.key)

    def _stored(self, path: Path) -> StoredFile | None:
        """Return the file at `path`, or None for a folder or a file that was just deleted."""
        if path.name.startswith(_UNFINISHED) or not path.is_file():
            return None
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        key = path.relative_to(self.root).as_posix()
        return StoredFile(key, found.st_size, modified_at=_time(found))

    def copy(self, key: str, to: str) -> None:
        with _named_errors(self._path(to)):
            _copy_whole(self._path(key), self._path(to))

    def delete(self, prefix: str) -> None:
        target = self.root / check_prefix(prefix)
        with _named_errors(target):
            while target.is_dir():
                with suppress(FileNotFoundError):  # another process deletes it at the same time
                    shutil.rmtree(target)
            target.unlink(missing_ok=True)

    def delete_files(self, keys: Iterable[str]) -> None:
        """Delete files, and the folders that become empty."""
        for path in map(self._path, keys):
            with _named_errors(path):
                path.unlink(missing_ok=True)
            self._remove_empty(path.parent)

    def _remove_empty(self, folder: Path) -> None:
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:  # there are other files
                return
            folder = folder.parent

    def unfinished(self, folder: str) -> Iterator[Unfinished]:
        target = self.root / check_prefix(folder)
        with _named_errors(target):
            for path in target.rglob(f"{_UNFINISHED}*"):
                with suppress(FileNotFoundError):  # the upload ended meanwhile
                    found = path.stat()
                    remove = partial(path.unlink, missing_ok=True)
                    yield Unfinished(found.st_size, _time(found), remove)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        path = self._path(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        return _chunks(path, start, path.stat().st_size if end is None else end)

    def link(self, key: str, **_: object) -> str | None:
        """Return None, because nobody can download from a folder by a URL."""
        check_key(key)
        return None

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _copy_whole(source: Path, target: Path) -> None:
    """Copy to a file beside `target`, sync it to the disk and rename it.

    So the target is complete or missing, even after a crash.
    """
    # The temporary file is made before the source is opened. So a process that deletes the source
    # and then ends unfinished copies misses no copy of it.
    with _unfinished(target) as (temporary, writer), source.open("rb") as reader:
        shutil.copyfileobj(reader, writer, CHUNK_BYTES)
        _finish(writer, temporary)
        temporary.replace(target)
        with suppress(FileNotFoundError):  # the file was deleted, and its empty folder with it
            sync(target.parent)


@contextmanager
def _unfinished(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Yield a temporary file beside `target`. Delete it at the end, unless it was renamed."""
    descriptor, name = _make_beside(target)
    try:
        with os.fdopen(descriptor, "wb") as writer:
            yield Path(name), writer
    finally:
        Path(name).unlink(missing_ok=True)


def _make_beside(target: Path) -> tuple[int, str]:
    """Make a temporary file beside `target`, and its folder.

    It tries again if another process that deletes files removes the folder while it is empty.
    """
    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            target.parent.mkdir(parents=True, exist_ok=True)
            return tempfile.mkstemp(prefix=_UNFINISHED, dir=target.parent)
    raise StorageError(f"The storage failed at {target}: its folder is deleted again and again.")


def _finish(writer: BinaryIO, temporary: Path) -> None:
    writer.flush()
    os.fsync(writer.fileno())
    temporary.chmod(0o644)


def _place_unless_there(temporary: Path, target: Path) -> bool:
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError:  # without hard links, two processes at the same time may both succeed
        if target.exists():
            return False
        temporary.replace(target)
    sync(target.parent)
    return True


def _time(found: os.stat_result) -> datetime:
    return datetime.fromtimestamp(found.st_mtime, UTC)


def _chunks(path: Path, start: int, end: int) -> Iterator[bytes]:
    with _named_errors(path), path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"The storage failed at {path}: {error.strerror or error}.") from error
