"""What a job may reach: where it may write and read, and which servers it may send curves to.

Never what the service keeps for all projects, and only what the operator allows, if they say what.
Where keys are asked for and they say nothing, a job reaches what needs no right of the machines:
no file of theirs, no object with the service's own credentials, no server in a private network.
"""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from jobs.job_uris import SCHEME
from jobs.models import JobSpec
from jobs.secret_names import S3_KEY_ID
from jobs.settings import Settings
from jobs.storage.addresses import S3, bucket_and_key
from jobs.trackers import MlflowTracker
from jobs.webhooks.addresses import AddressRefused, check_url
from relora_core.file_uris import local_path, readings
from relora_core.problems import Problem
from relora_core.spec import (
    LowRank,
    PretrainedModel,
    PretrainedTokenizer,
    is_hub_dataset,
)

ATTEMPTS = "attempts"  # where each attempt has a folder that no other writes to
JOB_FOLDERS = (ATTEMPTS, "checkpoints", "merged", "final", "logs", "reports")  # of a job's output
_HUB = "hf://"
_SQLITE = "sqlite://"
_OF_THE_SERVICE = ("job://", "upload://")  # by id, which is checked by itself
_HUB_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_IGNORES_CASE = sys.platform == "darwin"  # as its file systems do


@dataclass(frozen=True)
class Place:
    """A folder or file of this machine, or of a bucket; of a source, a part may be a pattern."""

    bucket: str | None  # None: of this machine
    parts: tuple[str, ...]

    @classmethod
    def in_bucket(cls, bucket: str, key: str) -> Self:
        """Not every server takes `..` and `//` as plain names, so they count as in a path."""
        parts: list[str] = []
        for part in key.split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in {"", "."}:
                parts.append(part)
        return cls(bucket, tuple(parts))

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
        wild = next((n for n, folder in enumerate(folders) if _is_pattern(folder)), len(parts))
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


def _is_pattern(path: Path) -> bool:
    """A name that is there is none, for the trainer either."""
    return bool(set(path.name) & set("*?[")) and not os.path.lexists(path)


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


def _data_places(uri: str) -> list[Place]:
    """Where data is, as the worker and the trainer read it; nowhere, if it is on the Hub."""
    if uri.startswith(_OF_THE_SERVICE):
        return []
    if uri.startswith(S3):
        return [Place.in_bucket(*bucket_and_key(uri))]
    if uri.startswith(_HUB) and is_hub_dataset(_paths_of(uri)[0]):
        return []
    return [Place.matching(path) for path in _paths_of(uri)]


def _pretrained_places(name: str) -> list[Place]:
    """As `_data_places`, of a model or a tokenizer."""
    if name.startswith(SCHEME) or _HUB_MODEL.fullmatch(name):
        return []
    return [Place.on_this_machine(path) for path in _paths_of(name)]


def _paths_of(uri: str) -> list[str]:
    """What may stand there for a path on this machine."""
    if uri.startswith(_HUB):
        return [uri.removeprefix(_HUB).partition("?")[0]]
    return readings(uri)


def _sources(spec: JobSpec) -> Iterator[tuple[str, str, list[Place]]]:
    """The fields that name what a job reads, with what they say, and where that may be."""
    for path, uri in spec.data.places():
        yield path, uri, _data_places(uri)
    for path, name in _pretrained(spec):
        yield path, name, _pretrained_places(name)


def _pretrained(spec: JobSpec) -> Iterator[tuple[str, str]]:
    if isinstance(spec.model, PretrainedModel):
        yield "model.pretrained", spec.model.pretrained
    if isinstance(spec.tokenizer, PretrainedTokenizer):
        yield "tokenizer.pretrained", spec.tokenizer.pretrained
    if isinstance(spec.method, LowRank) and spec.method.warm_start_from is not None:
        yield "method.warm_start_from", spec.method.warm_start_from


@dataclass(frozen=True)
class Locations:
    """The rules of one process: its own folders are not those of another machine."""

    ours: tuple[Place, ...]
    outputs: tuple[str, ...]  # allowed prefixes; empty is any
    sources: tuple[str, ...]
    trackers: tuple[str, ...]  # allowed servers; empty is any
    with_keys: bool  # callers are others than who runs the machines

    @classmethod
    def of(cls, settings: Settings, *, with_keys: bool | None = None) -> Self:
        """`with_keys` is what the settings say, where it is not known better."""
        return cls(
            ours=(place_of(settings.storage_url), Place.on_this_machine(str(settings.data_dir))),
            outputs=settings.allowed_outputs,
            sources=settings.allowed_sources,
            trackers=settings.allowed_trackers,
            with_keys=settings.authentication == "required" if with_keys is None else with_keys,
        )

    @property
    def only_public_trackers(self) -> bool:
        """Whether the name of a tracker's server must lead to the public internet."""
        return self.with_keys and not self.trackers

    def problems(self, spec: JobSpec) -> Iterator[Problem]:
        """Why a spec may not reach what it names."""
        own_credentials = S3_KEY_ID in spec.secrets
        if spec.output_uri is not None:
            output = place_of(spec.output_uri)
            written = [output.below(name) for name in JOB_FOLDERS]
            yield from self._output_problems(
                "output.uri", spec.output_uri, output, written, own_credentials=own_credentials
            )
        for path, uri, places in _sources(spec):
            problems = (
                self._source_problem(path, uri, place, own_credentials=own_credentials)
                for place in places
            )
            yield from [problem for problem in problems if problem is not None][:1]
        for number, tracker in enumerate(spec.trackers):
            if isinstance(tracker, MlflowTracker):
                yield from self._tracker_problems(f"trackers.{number}.uri", tracker.uri)

    def _output_problems(
        self, path: str, uri: str, output: Place, written: list[Place], *, own_credentials: bool
    ) -> Iterator[Problem]:
        if any(w.is_inside(own) or own.is_inside(w) for own in self.ours for w in written):
            message = (
                f"{uri!r} is inside of the service's own storage; leave it out for a place of the "
                "job's own there, or name one outside of it"
            )
            yield Problem(path=path, message=message)
        elif not self._allows(output, self.outputs, own_credentials=own_credentials):
            message = _not_allowed(uri, output, self.outputs, "output")
            yield Problem(path=path, message=message)

    def _source_problem(
        self, path: str, uri: str, place: Place, *, own_credentials: bool
    ) -> Problem | None:
        if place.bucket is None and not _paths_of(uri)[0].startswith("/"):
            message = (
                f"{uri!r} is neither on the Hub nor an absolute path; write a path from / on, name "
                "what a job saved as job://JOB_ID/final, or upload data with `relora datasets "
                "upload`"
            )
            return Problem(path=path, message=message)
        if any(place.reaches(own) for own in self.ours):
            message = (
                f"{uri!r} leads into the service's own storage; name what a job saved as "
                "job://JOB_ID/final, and uploaded data as upload://DATASET_ID"
            )
            return Problem(path=path, message=message)
        if not self._allows(place, self.sources, own_credentials=own_credentials):
            message = _not_allowed(uri, place, self.sources, "source")
            return Problem(path=path, message=message)
        return None

    def _tracker_problems(self, path: str, uri: str) -> Iterator[Problem]:
        if uri.startswith(_SQLITE):
            file = Place.on_this_machine("/" + uri.removeprefix(_SQLITE).lstrip("/"))
            yield from self._output_problems(path, uri, file, [file], own_credentials=False)
        elif self.trackers:
            server = urlsplit(uri)
            if not {server.netloc, server.hostname} & set(self.trackers):
                allowed = ", ".join(self.trackers)
                message = f"is none of the servers that RELORA_ALLOWED_TRACKERS allows: {allowed}"
                yield Problem(path=path, message=message)
        elif self.with_keys:
            try:
                check_url(uri, allow_private=False)
            except AddressRefused:
                message = (
                    "is not on the public internet; ask an operator to allow its server in "
                    "RELORA_ALLOWED_TRACKERS"
                )
                yield Problem(path=path, message=message)

    def _allows(self, place: Place, prefixes: tuple[str, ...], *, own_credentials: bool) -> bool:
        if prefixes:
            return any(place.is_inside(place_of(prefix)) for prefix in prefixes)
        return not self.with_keys or (place.bucket is not None and own_credentials)


def _not_allowed(uri: str, place: Place, prefixes: tuple[str, ...], kind: str) -> str:
    setting = f"RELORA_ALLOWED_{kind.upper()}S"
    if prefixes:
        return f"{uri!r} is in none of the places that {setting} allows: {', '.join(prefixes)}"
    if place.bucket is not None:
        return (
            f"{uri!r} needs credentials of the job's own: give AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in `secrets`, or ask an operator to allow the place in "
            f"{setting}"
        )
    instead = "upload the data, or use the Hub" if kind == "source" else "write to s3://"
    return (
        f"{uri!r} is on the service's machines, where no {kind} is allowed; {instead}, or ask an "
        f"operator to allow it in {setting}"
    )
