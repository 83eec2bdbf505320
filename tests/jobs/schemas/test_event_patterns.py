"""The patterns that select the events of a webhook."""

import re

import pytest
from pydantic import ValidationError

from jobs.schemas.event_patterns import matches
from jobs.schemas.job import JobSpec
from jobs.schemas.webhooks import WebhookSpec


@pytest.mark.parametrize(
    ("patterns", "event", "expected"),
    [
        (["job.succeeded"], "job.succeeded", True),
        (["job.succeeded"], "job.failed", False),
        (["job.*"], "job.failed", True),
        (["job.*"], "train.eval", False),
        (["train.merge", "job.*"], "train.merge", True),
        (["*"], "train.merge", True),
        (["*", "train.*"], "train.step", False),
        (["train.step"], "train.step", True),
    ],
)
def test_events_match_by_type_or_family(patterns: list[str], event: str, *, expected: bool) -> None:
    assert matches(patterns, event) is expected


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("job.suceeded", "did you mean `job.succeeded`?"),
        ("jobs.*", "did you mean `job.*`?"),
        ("", "there are *, job.*, train.*, job.action_requested, "),
    ],
)
def test_what_no_event_is_called_is_refused_with_the_nearest_one(pattern: str, hint: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"no event {pattern!r}; {hint}")):
        WebhookSpec(url="https://example.com/", events=[pattern], secret="key")


def test_a_name_of_an_earlier_version_is_read_with_a_warning_that_tells_the_new_one(
    spec: JobSpec,
) -> None:
    hook = {"url": "https://example.com/", "events": ["job.wish", "train.eval"], "secret": "key"}
    read = JobSpec.model_validate(spec.model_dump(mode="json") | {"webhooks": [hook]})
    assert read.webhooks[0].events == ["job.action_requested", "train.eval"]
    assert [str(warning) for warning in read.warnings if warning.code == "renamed"] == [
        "webhooks.0.events has job.wish, which is called job.action_requested now"
    ]
