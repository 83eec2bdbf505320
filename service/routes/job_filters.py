"""The query parameters that select jobs, of their list and of their live stream."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from jobs.schemas.job import MAX_LABELS
from jobs.schemas.status import JobStatus
from jobs.store.filters import JobFilter
from relora_core.spec import MethodName, TextPattern
from service.routes.dependencies import Cursor


def _as_text(moment: str) -> str:
    """Refuse a number, which pydantic would read as seconds or milliseconds by its size."""
    if "T" not in moment:
        raise ValueError("write it as 2026-01-31T12:00:00Z")
    return moment


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_as_text), AfterValidator(_in_utc)]
Label = Annotated[
    str, Field(max_length=320), TextPattern(r"^[^=]+=.*$", "KEY=VALUE, such as team=nlp")
]
Labels = Annotated[
    list[Label] | None,
    Query(max_length=MAX_LABELS, description="KEY=VALUE; all of these.", examples=[["team=nlp"]]),
]
IdPrefix = Annotated[
    str | None, Query(max_length=100, description="Whose id begins so.", examples=["job_06"])
]


def _filter(  # noqa: PLR0913 # one parameter for each filter
    status: Annotated[
        list[JobStatus] | None, Query(max_length=20, description="Any of these.")
    ] = None,
    label: Labels = None,
    method: MethodName | None = None,
    id_prefix: IdPrefix = None,
    created_after: Annotated[Moment | None, Query(description="At this time or later.")] = None,
    created_before: Moment | None = None,
    cursor: Cursor = None,
) -> JobFilter:
    return JobFilter(
        statuses=frozenset(status or ()),
        labels=_pairs(label),
        method=method,
        id_prefix=id_prefix,
        created_after=created_after,
        created_before=created_before,
        before=cursor,
    )


def _followed(
    label: Labels = None, method: MethodName | None = None, id_prefix: IdPrefix = None
) -> JobFilter:
    return JobFilter(labels=_pairs(label), method=method, id_prefix=id_prefix)


def _pairs(labels: list[str] | None) -> tuple[tuple[str, str], ...]:
    pairs = (label.partition("=") for label in labels or ())
    return tuple((key, value) for key, _, value in pairs)


JobFilterDep = Annotated[JobFilter, Depends(_filter)]
FollowedDep = Annotated[JobFilter, Depends(_followed)]
