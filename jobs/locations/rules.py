"""Access rules: where jobs may read and write, and which servers get their curves and events.

No job may access the service's own storage and data folder. If the operator sets a list of allowed
places or servers, jobs may access only those. If the service requires API keys and the operator
sets no list, a job may not use the rights of the service's machines. It may access no files on
them, no objects with the service's own credentials, and no servers in private networks. Events go
only to the public internet, unless the operator allows private networks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from jobs.locations.folders import JOB_FOLDERS, Place, place_of
from jobs.locations.servers import check_url
from jobs.schemas.job import JobSpec
from jobs.schemas.job_uris import SCHEME
from jobs.schemas.secret_names import S3_KEY_ID
from jobs.schemas.server_url import AddressRefused
from jobs.schemas.storage_url import S3, bucket_and_key
from jobs.schemas.trackers import MlflowTracker
from jobs.settings import Settings
from relora_core.spec import is_hub_dataset
from relora_core.spec.error_messages import FieldError
from relora_core.spec.file_uris import readings
from relora_core.spec.local_copies import pretrained

ALLOW_PRIVATE = "an operator may allow it with RELORA_WEBHOOK_ALLOW_PRIVATE=true"
_HUB = "hf://"
_SQLITE = "sqlite://"
_OF_THE_SERVICE = ("job://", "upload://")  # they name ids, which are checked elsewhere
_HUB_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")


def _data_places(uri: str) -> list[Place]:
    """Return the places of data, as the worker and the trainer read `uri`.

    The list is empty for data on the Hub and for data of the service (`job://`, `upload://`).
    """
    if uri.startswith(_OF_THE_SERVICE):
        return []
    if uri.startswith(S3):
        return [Place.in_bucket(*bucket_and_key(uri))]
    if uri.startswith(_HUB) and is_hub_dataset(_paths_of(uri)[0]):
        return []
    return [Place.matching(path) for path in _paths_of(uri)]


def _pretrained_places(name: str) -> list[Place]:
    """Return the places of a pretrained model or tokenizer.

    The list is empty for the Hub and for the files of a job (`job://`).
    """
    if name.startswith(SCHEME) or _HUB_MODEL.fullmatch(name):
        return []
    return [Place.on_this_machine(path) for path in _paths_of(name)]


def _paths_of(uri: str) -> list[str]:
    """Return the paths on this machine that `uri` may be read as."""
    if uri.startswith(_HUB):
        return [uri.removeprefix(_HUB).partition("?")[0]]
    return readings(uri)


def _sources(spec: JobSpec) -> Iterator[tuple[str, str, list[Place]]]:
    """Yield the fields that name inputs of a job: the field, its value, the places it may mean."""
    for path, uri in spec.places():
        yield path, uri, _data_places(uri)
    for path, name in pretrained(spec):
        yield path, name, _pretrained_places(name)


@dataclass(frozen=True)
class Locations:
    """The access rules of one process. They depend on the folders of its machine."""

    ours: tuple[Place, ...]
    outputs: tuple[str, ...]  # allowed prefixes; empty: the operator set none
    sources: tuple[str, ...]
    trackers: tuple[str, ...]  # allowed servers; empty: the operator set none
    only_public_webhooks: bool  # events may not go into private networks
    with_keys: bool  # API keys are required: the callers are not the people who run the machines

    @classmethod
    def of(cls, settings: Settings, *, with_keys: bool = False) -> Self:
        """Return the rules of a process with these settings.

        They are the rules of a service with keys if `with_keys` is true or the settings require
        keys.
        """
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
        """Whether the name of a tracker's server must resolve to public addresses."""
        return self.with_keys and not self.trackers

    def webhook_problem(self, url: str) -> FieldError | None:
        """Return why no event may be sent to `url`, or None if events may be sent there.

        The path of the problem is the field of the webhook.
        """
        try:
            check_url(url, only_public=self.only_public_webhooks)
        except AddressRefused as error:
            return FieldError(path="url", message=f"{error}; {ALLOW_PRIVATE}")
        return None

    def problems(self, spec: JobSpec) -> Iterator[FieldError]:
        """Yield why a job may not access what its spec names."""
        for path, reason in self._refusals(spec):
            if reason is not None:
                yield FieldError(path, reason)

    def _refusals(self, spec: JobSpec) -> Iterator[tuple[str, str | None]]:
        """Yield each field that names a location, and why it is refused, or None."""
        own_credentials = S3_KEY_ID in spec.secrets
        if spec.output_uri is not None:
            output = place_of(spec.output_uri)
            written = [output.below(name) for name in JOB_FOLDERS]
            yield (
                "output.uri",
                self._output_refusal(
                    spec.output_uri, output, written, own_credentials=own_credentials
                ),
            )
        for path, uri, places in _sources(spec):
            reasons = (
                self._source_refusal(uri, place, own_credentials=own_credentials)
                for place in places
            )
            yield path, next(filter(None, reasons), None)
        for number, tracker in enumerate(spec.trackers):
            if isinstance(tracker, MlflowTracker):
                yield f"trackers.{number}.uri", self._tracker_refusal(tracker.uri)

    def _output_refusal(
        self, uri: str, output: Place, written: list[Place], *, own_credentials: bool
    ) -> str | None:
        if any(w.is_inside(own) or own.is_inside(w) for own in self.ours for w in written):
            return (
                f"{uri!r} is inside of the service's own storage; leave it out for a place of the "
                "job's own there, or name one outside of it"
            )
        if not self._allows(output, self.outputs, own_credentials=own_credentials):
            return _not_allowed(uri, output, self.outputs, "output")
        return None

    def _source_refusal(self, uri: str, place: Place, *, own_credentials: bool) -> str | None:
        if place.bucket is None and not _paths_of(uri)[0].startswith("/"):
            return (
                f"{uri!r} is neither on the Hub nor an absolute path; write a path from / on, name "
                "what a job saved as job://JOB_ID/final, or upload data with `relora datasets "
                "upload`"
            )
        if any(place.reaches(own) for own in self.ours):
            return (
                f"{uri!r} leads into the service's own storage; name what a job saved as "
                "job://JOB_ID/final, and uploaded data as upload://DATASET_ID"
            )
        if not self._allows(place, self.sources, own_credentials=own_credentials):
            return _not_allowed(uri, place, self.sources, "source")
        return None

    def _tracker_refusal(self, uri: str) -> str | None:
        if uri.startswith(_SQLITE):
            file = Place.on_this_machine("/" + uri.removeprefix(_SQLITE).lstrip("/"))
            return self._output_refusal(uri, file, [file], own_credentials=False)
        if self.trackers:
            server = urlsplit(uri)
            if not {server.netloc, server.hostname} & set(self.trackers):
                allowed = ", ".join(self.trackers)
                return f"is none of the servers that RELORA_ALLOWED_TRACKERS allows: {allowed}"
        elif self.with_keys:
            try:
                check_url(uri, only_public=True)
            except AddressRefused:
                return (
                    "is not on the public internet; ask an operator to allow its server in "
                    "RELORA_ALLOWED_TRACKERS"
                )
        return None

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
