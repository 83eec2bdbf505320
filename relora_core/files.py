"""Files that survive a power cut: synced to disk before anything refers to them."""

import hashlib
import os
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


def publish_folder(temporary: Path, folder: Path) -> None:
    """Make a finished folder visible under its name in one step, on disk and in view."""
    for file in temporary.iterdir():
        sync(file)
    sync(temporary)
    temporary.rename(folder)
    sync(folder.parent)
