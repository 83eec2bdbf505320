"""Folders and files that a spec names, on this machine or in a bucket."""

import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from jobs.schemas.storage_url import S3, bucket_and_key
from relora_core.spec.file_uris import is_pattern, local_path
from relora_core.workdir.files import CHECKPOINTS, FINAL, LOGS, MERGED, REPORTS

ATTEMPTS = "attempts"  # each attempt has its own folder here, and no other attempt writes to it
JOB_FOLDERS = (ATTEMPTS, CHECKPOINTS, MERGED, FINAL, LOGS, REPORTS)  # in the output of a job
_IGNORES_CASE = sys.platform == "darwin"  # its file systems ignore case


@dataclass(frozen=True)
class Place:
    """A folder or file on this machine or in a bucket. Parts of a source may be patterns."""

    bucket: str | None  # None: on this machine
    parts: tuple[str, ...]
    leads_back: bool = False  # the key in the bucket has a `..`

    @classmethod
    def in_bucket(cls, bucket: str, key: str) -> Self:
        """Return the place of an object or a prefix.

        `..` and `//` are resolved as in a path, because some servers do not take them literally.
        """
        parts: list[str] = []
        for part in key.split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in {"", "."}:
                parts.append(part)
        return cls(bucket, tuple(parts), leads_back=".." in key.split("/"))

    @classmethod
    def on_this_machine(cls, path: str) -> Self:
        """Return the place of a path on this machine, with symbolic links resolved."""
        return cls(None, _folded(Path(path).expanduser().resolve().parts[1:]))

    @classmethod
    def matching(cls, pattern: str) -> Self:
        """Return the place of a pattern on this machine.

        Symbolic links are resolved in the leading parts that have no wildcard.
        """
        path = Path(pattern).expanduser().absolute()
        parts = path.parts[1:]
        folders = [*reversed(path.parents), path][1:]
        wild = next((n for n, folder in enumerate(folders) if is_pattern(folder)), len(parts))
        if ".." in parts[wild:]:  # such a pattern may match anything
            return cls(None, ("**",))
        plain = Path("/", *parts[:wild]).resolve().parts[1:]
        return cls(None, _folded((*plain, *parts[wild:])))

    def below(self, name: str) -> "Place":
        return Place(self.bucket, (*self.parts, name))

    def is_inside(self, folder: "Place") -> bool:
        """Return whether everything that this place can match is the folder or inside it."""
        return self.bucket == folder.bucket and self.parts[: len(folder.parts)] == folder.parts

    def reaches(self, folder: "Place") -> bool:
        """Return whether something that this place can match is the folder or inside it."""
        return self.bucket == folder.bucket and _reaches(self.parts, folder.parts)


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(str.casefold, parts)) if _IGNORES_CASE else parts


def _reaches(pattern: tuple[str, ...], folder: tuple[str, ...]) -> bool:
    if not folder or not pattern:
        return not folder
    if pattern[0] == "**":
        return _reaches(pattern[1:], folder) or _reaches(pattern, folder[1:])
    matches = pattern[0] == folder[0] or fnmatchcase(folder[0], pattern[0])
    return matches and _reaches(pattern[1:], folder[1:])


def place_of(url: str) -> Place:
    """Return the place of a storage URL, as `open_storage` reads it, or of a plain path."""
    if url.startswith(S3):
        return Place.in_bucket(*bucket_and_key(url))
    return Place.on_this_machine(local_path(url))
