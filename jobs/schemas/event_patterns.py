"""The patterns that select which events a webhook receives."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from relora_core.suggestions import no_such

# There is such an event for each step of a run. A webhook gets it only if it names the type.
_MANY = {"train.step"}
# Event types of earlier versions, which old specs still use, with their new names.
RENAMED = {"job.wish": "job.action_requested"}


def matches(patterns: Iterable[str], event_type: str) -> bool:
    if event_type in _MANY:
        return event_type in patterns
    return any(_matches(pattern, event_type) for pattern in patterns)


def _matches(pattern: str, event_type: str) -> bool:
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])
    return event_type == pattern


def _check(pattern: str) -> str:
    from jobs.schemas.events import EVENT_TYPES

    pattern = RENAMED.get(pattern, pattern)
    families = sorted({f"{name.partition('.')[0]}.*" for name in EVENT_TYPES})
    known = ["*", *families, *sorted(EVENT_TYPES)]
    if pattern not in known:
        raise ValueError(no_such("event", pattern, known))
    return pattern


EventPattern = Annotated[
    str,
    AfterValidator(_check),
    WithJsonSchema({"type": "string", "maxLength": 80, "pattern": r"^(\*|[a-z]+\.(\*|[a-z_]+))$"}),
]
