"""Folders and files that a spec names: of this machine, or of a bucket."""

import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self

from jobs.storage.addresses import S3, bucket_and_key
from relora_core.spec.file_uris import is_pattern, local_path
from relora_core.workdir.files import CHECKPOINTS, FINAL, LOGS, MERGED, REPORTS

ATTEMPTS = "attempts"  # where each attempt has a folder that no other writes to
JOB_FOLDERS = (ATTEMPTS, CHECKPOINTS, MERGED, FINAL, LOGS, REPORTS)  # of a job's output
_IGNORES_CASE = sys.platform == "darwin"  # as its file systems do


@dataclass(frozen=True)
class Place:
    """A folder or file of this machine, or of a bucket; of a source, a part may be a pattern."""

    bucket: str | None  # None: of this machine
    parts: tuple[str, ...]
    leads_back: bool = False  # of a bucket: its key has a `..`

    @classmethod
    def in_bucket(cls, bucket: str, key: str) -> Self:
        """Not every server takes `..` and `//` as plain names, so they count as in a path."""
        parts: list[str] = []
        for part in key.split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in {"", "."}:
                parts.append(part)
        return cls(bucket, tuple(parts), leads_back=".." in key.split("/"))

    @classmethod
    def on_this_machine(cls, path: str) -> Self:
        """With links followed."""
        return cls(None, _folded(Path(path).expanduser().resolve().parts[1:]))

    @classmethod
    def matching(cls, pattern: str) -> Self:
        """With links followed as far as the pattern is a plain path."""
        path = Path(pattern).expanduser().absolute()
        parts = path.parts[1:]
        folders = [*reversed(path.parents), path][1:]
        wild = next((n for n, folder in enumerate(folders) if is_pattern(folder)), len(parts))
        if ".." in parts[wild:]:  # it may lead anywhere
            return cls(None, ("**",))
        plain = Path("/", *parts[:wild]).resolve().parts[1:]
        return cls(None, _folded((*plain, *parts[wild:])))

    def below(self, name: str) -> "Place":
        return Place(self.bucket, (*self.parts, name))

    def is_inside(self, folder: "Place") -> bool:
        """All that this may name is in the folder, or is the folder."""
        return self.bucket == folder.bucket and self.parts[: len(folder.parts)] == folder.parts

    def reaches(self, folder: "Place") -> bool:
        """Something that this may name is in the folder, or is the folder."""
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
    """Of an address as `open_storage` reads it, or of a plain path."""
    if url.startswith(S3):
        return Place.in_bucket(*bucket_and_key(url))
    return Place.on_this_machine(local_path(url))
