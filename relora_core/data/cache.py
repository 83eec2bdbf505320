"""A cache of files that are made once on a node, for all later runs.

Each entry is named by its content, and is either complete or absent. It has the hashes of its
files: an entry that was damaged on the disk is made again.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from relora_core.data.content import file_errors
from relora_core.errors import DataUnavailable
from relora_core.files import new_folder, sha256

MANIFEST = "manifest.json"  # lists the content of a folder
HASHES = "SHA256SUMS"  # of the other files of a folder, as `sha256sum` writes it
_DIGEST = re.compile(rb"[0-9a-f]+")
WAITING_SECONDS = 1.0  # between two checks whether another process is ready


def default_cache() -> Path:
    return Path.home() / ".cache" / "relora"


def digest(*parts: object) -> str:
    """Return a name for what is made from `parts`, which are JSON values."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def build_once(
    folder: Path,
    build: Callable[[Path], None],
    *,
    cache: Path,
    waiting: Callable[[], None] = lambda: None,
) -> bool:
    """Fill the folder with `build` unless it is complete. Return whether it was complete.

    It is complete if its files have the hashes that they had when they were made. `cache` keeps the
    hash of a file until its size or modification time changes.

    The processes of a node wait for each other, so that only the first one builds. A waiting
    process calls `waiting` about every `WAITING_SECONDS`. The folder appears by one rename, after
    its files are on the disk.
    """

    def build_and_hash(unfinished: Path) -> None:
        build(unfinished)
        (unfinished / HASHES).write_text(_hashes(unfinished, sha256))

    def is_whole(folder: Path) -> bool:
        written = folder / HASHES
        now = partial(file_digest, cache=cache)
        return written.is_file() and written.read_bytes() == _hashes(folder, now).encode()

    return _make_once(folder, build_and_hash, is_whole=is_whole, waiting=waiting)


def _hashes(folder: Path, hash_of: Callable[[Path], str]) -> str:
    files = sorted(file for file in folder.iterdir() if file.name != HASHES)
    return "".join(f"{hash_of(file)}  {file.name}\n" for file in files)


def _make_once(
    folder: Path,
    build: Callable[[Path], None],
    *,
    is_whole: Callable[[Path], bool],
    waiting: Callable[[], None] = lambda: None,
) -> bool:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _turn(folder.with_name(f"{folder.name}.lock"), waiting):
        if is_whole(folder):
            return True
        with new_folder(folder) as unfinished:
            build(unfinished)
    return False


def check_unchanged(source: str, before: str, now: str) -> None:
    """Compare the fingerprints of a source before and after it was read.

    Raise `DataUnavailable` if they differ. What was made of the source would otherwise be kept
    under the fingerprint of another content.
    """
    if now != before:
        raise DataUnavailable(
            f"{source} was changed or replaced while it was read; data must stay as it is until a "
            "run has read it"
        )


@contextmanager
def _turn(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    lock = FileLock(file)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=WAITING_SECONDS)
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def file_digest(file: Path, cache: Path) -> str:
    """Return the file's sha256, cached until its size or modification time changes."""
    with file_errors(file):
        stat = file.stat()
    key = str(file), stat.st_size, stat.st_mtime_ns
    return remembered(partial(_sha256, file), *key, cache=cache)


def _sha256(file: Path) -> str:
    with file_errors(file):
        return sha256(file)


def _has_digest(folder: Path) -> bool:
    file = folder / "sha256"
    return file.is_file() and _DIGEST.fullmatch(file.read_bytes()) is not None


def remembered(compute: Callable[[], str], *key: object, cache: Path) -> str:
    """Return the result of `compute`, cached on this node for `key`, which is JSON values."""

    def build(folder: Path) -> None:
        (folder / "sha256").write_text(compute())

    folder = cache / "digests" / digest(*key)
    _make_once(folder, build, is_whole=_has_digest)
    return (folder / "sha256").read_text()
