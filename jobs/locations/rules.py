"""What may be reached: where a job may write and read, and which servers curves and events go to.

Never what the service keeps for all projects, and only what the operator allows, if they say what.
Where keys are asked for and they say nothing, a job reaches what needs no right of the machines:
no file of theirs, no object with the service's own credentials, no server in a private network.
Events go to the public internet alone, unless the operator allows more.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Self
from urllib.parse import urlsplit

from jobs.locations.folders import JOB_FOLDERS, Place, place_of
from jobs.locations.servers import check_url
from jobs.schemas.job import JobSpec
from jobs.schemas.job_uris import SCHEME
from jobs.schemas.secret_names import S3_KEY_ID
from jobs.schemas.server_url import AddressRefused
from jobs.schemas.trackers import MlflowTracker
from jobs.settings import Settings
from jobs.storage.addresses import S3, bucket_and_key
from relora_core.spec import LowRank, PretrainedModel, PretrainedTokenizer, is_hub_dataset
from relora_core.spec.error_messages import Problem
from relora_core.spec.file_uris import readings

ALLOW_PRIVATE = "an operator may allow it with RELORA_WEBHOOK_ALLOW_PRIVATE=true"
_HUB = "hf://"
_SQLITE = "sqlite://"
_OF_THE_SERVICE = ("job://", "upload://")  # by id, which is checked by itself
_HUB_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


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
    only_public_webhooks: bool  # events may not go into private networks
    with_keys: bool  # callers are others than who runs the machines

    @classmethod
    def of(cls, settings: Settings, *, with_keys: bool = False) -> Self:
        """With keys also where the settings require them."""
        return cls(
            ours=(place_of(settings.storage_url), Place.on_this_machine(str(settings.data_dir))),
            outputs=settings.allowed_outputs,
            sources=settings.allowed_sources,
            trackers=settings.allowed_trackers,
            only_public_webhooks=not settings.webhook_allow_private,
            with_keys=with_keys or settings.authentication == "required",
        )

    @property
    def only_public_trackers(self) -> bool:
        """Whether the name of a tracker's server must lead to the public internet."""
        return self.with_keys and not self.trackers

    def webhook_problem(self, url: str) -> Problem | None:
        """Why no event may be sent there. Its path is that of the webhook's field."""
        try:
            check_url(url, only_public=self.only_public_webhooks)
        except AddressRefused as error:
            return Problem(path="url", message=f"{error}; {ALLOW_PRIVATE}")
        return None

    def problems(self, spec: JobSpec) -> Iterator[Problem]:
        """Why a job may not reach what its spec names."""
        own_credentials = S3_KEY_ID in spec.secrets
        if spec.output_uri is not None:
            output = place_of(spec.output_uri)
            written = [output.below(name) for name in JOB_FOLDERS]
            yield from self._output_problems(
                "output.uri", spec.output_uri, output, written, own_credentials=own_credentials
            )
        for path, uri, places in _sources(spec):
            found = (
                problem
                for place in places
                for problem in self._source_problems(
                    path, uri, place, own_credentials=own_credentials
                )
            )
            yield from islice(found, 1)
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

    def _source_problems(
        self, path: str, uri: str, place: Place, *, own_credentials: bool
    ) -> Iterator[Problem]:
        if place.bucket is None and not _paths_of(uri)[0].startswith("/"):
            message = (
                f"{uri!r} is neither on the Hub nor an absolute path; write a path from / on, name "
                "what a job saved as job://JOB_ID/final, or upload data with `relora datasets "
                "upload`"
            )
            yield Problem(path=path, message=message)
        elif any(place.reaches(own) for own in self.ours):
            message = (
                f"{uri!r} leads into the service's own storage; name what a job saved as "
                "job://JOB_ID/final, and uploaded data as upload://DATASET_ID"
            )
            yield Problem(path=path, message=message)
        elif not self._allows(place, self.sources, own_credentials=own_credentials):
            message = _not_allowed(uri, place, self.sources, "source")
            yield Problem(path=path, message=message)

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
                check_url(uri, only_public=True)
            except AddressRefused:
                message = (
                    "is not on the public internet; ask an operator to allow its server in "
                    "RELORA_ALLOWED_TRACKERS"
                )
                yield Problem(path=path, message=message)

    def _allows(self, place: Place, prefixes: tuple[str, ...], *, own_credentials: bool) -> bool:
        if place.leads_back:
            return False
        if prefixes:
            return any(place.is_inside(place_of(prefix)) for prefix in prefixes)
        return not self.with_keys or (place.bucket is not None and own_credentials)


def _not_allowed(uri: str, place: Place, prefixes: tuple[str, ...], kind: str) -> str:
    setting = f"RELORA_ALLOWED_{kind.upper()}S"
    if place.leads_back:
        return f"{uri!r} has a `..`, which servers read in different ways; write it without one"
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
