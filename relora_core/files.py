"""Files that survive a power cut: synced to disk before anything refers to them."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Force a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_file(file: Path, content: bytes) -> None:
    """Write a file in place of an older one: a reader sees the one or the other, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(content)
    sync(temporary)
    temporary.replace(file)
    sync(file.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty hidden folder, which appears as `folder` at the end of the block.

    After an error it is gone: on a full disk it would take the room that the error's report needs.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed
    temporary.mkdir(parents=True)
    try:
        yield temporary
        publish_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def publish_folder(temporary: Path, folder: Path) -> None:
    """Make a finished folder visible under its name in one step, on disk and in view.

    An older folder of that name goes first, whole.
    """
    for file in temporary.iterdir():
        sync(file)
    sync(temporary)
    delete_folder(folder)
    temporary.rename(folder)
    sync(folder.parent)


def delete_folder(folder: Path) -> None:
    """Out of sight in one step, then off the disk: a kill in between leaves no half of it."""
    hidden = folder.with_name(f".{folder.name}.deleted")
    shutil.rmtree(hidden, ignore_errors=True)
    if folder.exists():
        folder.rename(hidden)
        shutil.rmtree(hidden)
