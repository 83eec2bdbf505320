"""What a storage does: files by key, below one root."""

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
    # Another one when the content is another; "" where a storage has none.
    version: str = field(default="", compare=False)


@dataclass(frozen=True)
class Unfinished:
    """An upload that began and has not ended: it goes on, or nobody will ever end it."""

    size: int  # of what is there of it
    since: datetime  # when it began, or was last written to
    remove: Callable[[], None]


class Storage(Protocol):
    """A key is a relative path such as `final/config.json`, below the storage's root.

    Every method raises `StorageError`, which says which address and why.
    """

    def ping(self) -> None:
        """Whether it answers, and files could be put there; nothing is written."""

    def check_mounted(self) -> None:
        """Refuse a root that looks empty because its disk is not mounted."""

    def upload(self, file: Path, key: str) -> None:
        """Store `file` under `key`, whole or not at all; replace what was there."""

    def create(self, key: str, content: bytes) -> bool:
        """Store a few bytes unless something is there; whether it did. Of two, one does."""

    def download(self, key: str, file: Path, *, version: str = "") -> None:
        """Write to `file`, whole or not at all; with a `version` that one or none.

        Raises `FileNotFoundError`, also for a version that was replaced.
        """

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """The file `prefix`, or all below the folder `prefix`; "" is everything. Sorted by key."""

    def copy(self, key: str, to: str) -> None:
        """Store the file under another key, too, without moving its bytes through this machine.

        Raises `FileNotFoundError`.
        """

    def delete(self, prefix: str) -> None:
        """Delete what `list(prefix)` yields; nothing there is fine."""

    def delete_files(self, keys: Iterable[str]) -> None:
        """Delete the files of these keys; one that is not there is fine."""

    def unfinished(self, folder: str) -> Iterator[Unfinished]:
        """Uploads to a folder that are not over."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of [start, end), in chunks. Raises `FileNotFoundError` at once."""

    def link(self, key: str, *, expires_seconds: int, filename: str, media_type: str) -> str | None:
        """A URL to download the file as `filename` without credentials; None if there is none."""


def check_key(key: str) -> str:
    """`key`, if it stays below the root: relative, without `.`, `..` and empty parts."""
    if any(part in {"", ".", ".."} for part in key.split("/")) or "\0" in key or "\\" in key:
        raise StorageRefused(f"{key!r} is no key of a file: it must be a plain relative path.")
    return key


def check_prefix(prefix: str) -> str:
    """As `check_key`; a folder may end in a slash, and "" is the root."""
    return check_key(prefix.removesuffix("/")) if prefix else ""
