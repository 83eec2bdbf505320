"""The protocol of a storage: files by key, below one root."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol

from jobs.errors import StorageRefused

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    key: str
    size: int
    modified_at: datetime = field(compare=False)
    # It changes with the content; "" if the storage has no versions.
    version: str = field(default="", compare=False)


@dataclass(frozen=True)
class Unfinished:
    """An upload that has not ended. It may still be running, or it may be abandoned."""

    size: int  # the bytes that are stored so far
    since: datetime  # the time when it began or was last written to
    remove: Callable[[], None]


class Storage(Protocol):
    """Files by key, below one root.

    A key is a relative path such as `final/config.json`. Every method raises `StorageError` if
    the storage fails. Its message says at which address and why.
    """

    def ping(self) -> None:
        """Raise `StorageError` if the storage is not reachable. Write nothing."""

    def check_mounted(self) -> None:
        """Raise `StorageError` if the root only looks empty because its disk is not mounted."""

    def upload(self, file: Path, key: str) -> None:
        """Store `file` under `key`, completely or not at all. Replace an existing file."""

    def create(self, key: str, content: bytes) -> bool:
        """Store a few bytes unless the key exists; return whether they were stored.

        If two processes create the same key at the same time, only one succeeds.
        """

    def download(self, key: str, file: Path, *, version: str = "") -> None:
        """Download to `file`, completely or not at all. With `version`, only that version.

        Raise `FileNotFoundError` if there is no such file, or if the version was replaced.
        """

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the file `prefix`, or all files below the folder `prefix`, sorted by key.

        An empty `prefix` means all files.
        """

    def copy(self, key: str, to: str) -> None:
        """Copy a file to another key, within the storage where it can do that itself.

        Raise `FileNotFoundError` if there is no such file.
        """

    def delete(self, prefix: str) -> None:
        """Delete the files that `list(prefix)` yields. It is no error if there are none."""

    def delete_files(self, keys: Iterable[str]) -> None:
        """Delete the files with these keys. A missing file is no error."""

    def unfinished(self, folder: str) -> Iterator[Unfinished]:
        """Yield the unfinished uploads to a folder."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return the bytes [start, end) in chunks. `end` None means the end of the file.

        Raise `FileNotFoundError` at the call, before the first chunk.
        """

    def link(self, key: str, *, expires_seconds: int, filename: str, media_type: str) -> str | None:
        """Return a URL to download the file as `filename` without credentials.

        Return None if the storage has no such URLs.
        """


def check_key(key: str) -> str:
    """Return `key` if it stays below the root, else raise `StorageRefused`.

    It must be a relative path without `.`, `..` and empty parts.
    """
    if any(part in {"", ".", ".."} for part in key.split("/")) or "\0" in key or "\\" in key:
        raise StorageRefused(f"{key!r} is no key of a file: it must be a plain relative path.")
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` if it stays below the root, else raise `StorageRefused`.

    A folder may end in a slash, which is removed. An empty prefix is the root.
    """
    return check_key(prefix.removesuffix("/")) if prefix else ""
