"""The spec of a job that is forked from another job."""

from typing import Any

import pytest

from jobs.schemas.forks import Fork, forked, merge_patch
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.job_uris import parse
from relora_core.workdir.files import checkpoint_path


@pytest.mark.parametrize(  # those of RFC 7396, appendix A
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_is_merged(target: Any, patch: Any, merged: Any) -> None:
    assert merge_patch(target, patch) == merged


def spec_of(job: Job, **fork: Any) -> JobSpec:
    return JobSpec.model_validate(forked(job, Fork.model_validate(fork)))


def test_a_fork_is_the_same_but_for_its_changes(job: Job) -> None:
    spec = spec_of(job, changes={"labels": {"team": None}, "training": {"seed": 7}})
    assert spec.name == "tiny-fork"
    assert (spec.labels, spec.training.seed) == ({}, 7)
    assert spec.method == job.spec.method
    assert spec_of(job, changes={"name": "other"}).name == "other"


def test_a_fork_begins_with_a_model(job: Job) -> None:
    document = spec_of(job, **{"from": "final"}).model_dump()
    uri = f"job://{job.id}/final"
    assert document["model"] == {"pretrained": uri, "init": "weights"}
    assert document["tokenizer"] == {"pretrained": uri, "eos_token": None}


def test_a_fork_begins_with_a_checkpoint(job: Job) -> None:
    document = spec_of(job, **{"from": "checkpoints/step-00000050"}).model_dump()
    assert document["method"]["warm_start_from"] == f"job://{job.id}/checkpoints/step-00000050"
    assert document["method"]["warm_start_steps"] in {None, 0}
    assert document["model"] == job.spec.model.model_dump()


def test_an_address_names_a_checkpoint_of_any_step() -> None:
    folder = checkpoint_path(123_456_789)
    assert parse(f"job://job_1/{folder}") == ("job_1", folder)


@pytest.mark.parametrize(
    "uri", ["job://job_1", "job://job_1/logs", "job://job_1/final/../x", "job://job_1/merged/5"]
)
def test_an_address_that_names_no_model_is_none(uri: str) -> None:
    assert parse(uri) is None
