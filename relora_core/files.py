"""Write files that survive a power failure: they are synced to disk before anything uses them."""

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
    """Replace a file atomically: a reader sees either the old or the new content, complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(content)
    sync(temporary)
    temporary.replace(file)
    sync(file.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty hidden folder, which is renamed to `folder` at the end of the block.

    After an error it is deleted, because on a full disk the error report needs the space.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)  # a killed process may have left one
    temporary.mkdir(parents=True)
    try:
        yield temporary
        publish_folder(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def publish_folder(temporary: Path, folder: Path) -> None:
    """Sync a finished folder to disk and rename it to `folder`.

    An older folder of that name is deleted first.
    """
    for file in temporary.iterdir():
        sync(file)
    sync(temporary)
    delete_folder(folder)
    temporary.rename(folder)
    sync(folder.parent)


def delete_folder(folder: Path) -> None:
    """Delete a folder. Rename it first, so that a kill in between leaves no partial folder."""
    hidden = folder.with_name(f".{folder.name}.deleted")
    shutil.rmtree(hidden, ignore_errors=True)
    if folder.exists():
        folder.rename(hidden)
        shutil.rmtree(hidden)
