"""Storage in a folder of this machine, or of a network drive that all machines mount."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from jobs.errors import StorageError
from jobs.storage.protocol import CHUNK_BYTES, StoredFile, check_key, check_prefix

_UNFINISHED = ".unfinished-"  # files that a crash left half-written; never listed


class LocalStorage:
    def __init__(self, root: Path) -> None:
        self.root = root

    def ping(self) -> None:
        """The folder may be still to make."""
        there = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise StorageError(f"The storage failed at {self.root}: {there} cannot be written to.")

    def upload(self, file: Path, key: str) -> None:
        with _named_errors(self._path(key)):
            _copy_whole(file, self._path(key))

    def create(self, key: str, content: bytes) -> bool:
        path = self._path(key)
        with _named_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            except FileExistsError:
                return False
        return True

    def download(self, key: str, file: Path) -> None:
        with _named_errors(self._path(key)):
            _copy_whole(self._path(key), file)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        target = self.root / check_prefix(prefix)
        paths = [target] if target.is_file() else target.rglob("*")
        files = (
            StoredFile(path.relative_to(self.root).as_posix(), path.stat().st_size)
            for path in paths
            if path.is_file() and not path.name.startswith(_UNFINISHED)
        )
        yield from sorted(files, key=lambda file: file.key)

    def copy(self, key: str, to: str) -> None:
        with _named_errors(self._path(to)):
            _copy_whole(self._path(key), self._path(to))

    def delete(self, prefix: str) -> None:
        target = self.root / check_prefix(prefix)
        with _named_errors(target):
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)

    def delete_files(self, keys: Iterable[str]) -> None:
        """With the folders that are left empty."""
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

    def remove_unfinished(self, folder: str, before: datetime, *, dry_run: bool) -> int:
        found = [
            path
            for path in (self.root / check_prefix(folder)).rglob(f"{_UNFINISHED}*")
            if path.stat().st_mtime < before.timestamp()
        ]
        if not dry_run:
            for path in found:
                path.unlink(missing_ok=True)
        return len(found)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        path = self._path(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        return _chunks(path, start, path.stat().st_size if end is None else end)

    def link(self, key: str, **_: object) -> str | None:
        """None: a folder serves nobody."""
        check_key(key)
        return None

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)


def _copy_whole(source: Path, target: Path) -> None:
    """Copy beside `target`, force it to the disk, and rename: all or nothing, even in a crash."""
    with source.open("rb") as reader:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as writer:
                shutil.copyfileobj(reader, writer, CHUNK_BYTES)
                writer.flush()
                os.fsync(writer.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


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
