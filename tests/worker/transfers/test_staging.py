import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.backends import Backends
from jobs.garbage.local_disk import collect_leftovers
from jobs.storage import open_storage
from relora_core.data.find import find_files
from relora_core.errors import DataError, DataUnavailable
from tests.worker.checkpoints import save_checkpoint
from tests.worker.conftest import BeginAttempt, MakeSpec
from worker.transfers import staging
from worker.transfers.staging import Remote, matches, stage, whole_copy
from worker.transfers.uploads import Uploads


@pytest.mark.parametrize(
    ("key", "pattern", "expected"),
    [
        ("c4/en/1.jsonl", "c4/en/1.jsonl", True),
        ("c4/en/1.jsonl", "c4/en/*.jsonl", True),
        ("c4/en/1.jsonl", "c4/*/1.jsonl", True),
        ("c4/en/1.jsonl", "c4/*.jsonl", False),
        ("c4/en/1.jsonl", "en/*.jsonl", False),
        ("c4/en/1.jsonl", "c4/en/[2-9].jsonl", False),
    ],
)
def test_patterns_match_as_in_a_shell(key: str, pattern: str, *, expected: bool) -> None:
    assert matches(key, pattern) is expected


def test_local_data_is_left_where_it_is(begin_attempt: BeginAttempt) -> None:
    assert stage(begin_attempt()) == {}


def put(url: str, key: str, text: str, scratch: Path) -> None:
    file = scratch / "object"
    file.write_text(text)
    open_storage(url).upload(file, key)


@pytest.mark.integration
def test_a_job_reads_and_writes_with_its_own_credentials(
    s3_url: str,
    begin_attempt: BeginAttempt,
    make_spec: MakeSpec,
    backends: Backends,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(s3_url, "text.jsonl", "text", tmp_path)
    secrets = {}
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        secrets[variable] = variable.lower()
        backends.secrets.put("default", variable.lower(), os.environ[variable])
        monkeypatch.setenv(variable, "not-those-of-the-worker")
    attempt = begin_attempt(
        make_spec(
            data={"train": {"uri": f"{s3_url}/text.jsonl"}, "sequence_length": 32},
            output={"uri": f"{s3_url}/run"},
            secrets=secrets,
        )
    )

    (staged,) = stage(attempt).values()
    attempt.storage.upload(find_files(staged)[0], "final/config.json")
    link = backends.storage_for(attempt.job).link(
        "final/config.json",
        expires_seconds=60,
        filename="config.json",
        media_type="application/json",
    )
    assert link is not None
    assert httpx.get(link).text == "text"


def copies(staged: dict[str, str], uri: str) -> list[Path]:
    return find_files(staged[uri])


@pytest.mark.integration
def test_objects_are_copied_in_the_order_of_their_keys(
    s3_url: str, begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    for key in ("b/x.jsonl", "a/y.jsonl", "a/y.txt"):
        put(s3_url, key, key, tmp_path)
    data = {
        "train": {"uri": f"{s3_url}/*/*.jsonl"},
        "validation": {"uri": f"{s3_url}/a/y.txt"},
    }

    staged = stage(begin_attempt(make_spec(data=data)))

    train = copies(staged, f"{s3_url}/*/*.jsonl")
    assert [file.name for file in train] == ["00000-y.jsonl", "00001-x.jsonl"]
    assert [file.read_text() for file in train] == ["a/y.jsonl", "b/x.jsonl"]
    (validation,) = copies(staged, f"{s3_url}/a/y.txt")
    assert validation.read_text() == "a/y.txt"


@pytest.mark.integration
def test_what_is_there_is_not_fetched_again_until_it_changes(
    s3_url: str, begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    uri = f"{s3_url}/x.txt"
    spec = make_spec(data={"train": {"uri": uri}})
    put(s3_url, "x.txt", "one", tmp_path)
    (first,) = copies(stage(begin_attempt(spec)), uri)
    fetched_at = first.stat().st_mtime_ns

    os.utime(first.parent, (0, 0))
    (again,) = copies(stage(begin_attempt(spec)), uri)
    assert again == first
    assert again.stat().st_mtime_ns == fetched_at
    assert time.time() - again.parent.stat().st_mtime < 60  # the time of its last use

    put(s3_url, "x.txt", "two", tmp_path)
    (changed,) = copies(stage(begin_attempt(spec)), uri)
    assert changed != first
    assert changed.read_text() == "two"


@pytest.mark.integration
def test_a_pattern_that_matches_nothing_is_an_error_of_the_data(
    s3_url: str, begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    attempt = begin_attempt(make_spec(data={"train": {"uri": f"{s3_url}/*.jsonl"}}))

    with pytest.raises(DataError, match=r"no object matches 's3://.*/\*\.jsonl'"):
        stage(attempt)


@pytest.mark.integration
def test_an_object_that_another_of_the_same_size_replaces_while_it_is_copied_is_not_used(
    s3_url: str,
    begin_attempt: BeginAttempt,
    make_spec: MakeSpec,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = f"{s3_url}/x.txt"
    spec = make_spec(data={"train": {"uri": uri}})
    put(s3_url, "x.txt", "one", tmp_path)

    def listed_before_it_is_replaced(*arguments: Any) -> Path:
        put(s3_url, "x.txt", "two", tmp_path)
        return whole_copy(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "whole_copy", listed_before_it_is_replaced)
        with pytest.raises(DataUnavailable, match=f"{uri} was replaced or deleted"):
            stage(begin_attempt(spec))

    (again,) = copies(stage(begin_attempt(spec)), uri)
    assert again.read_text() == "two"


@pytest.mark.integration
@pytest.mark.parametrize("damage", ["cut short", "changed", "a file beside it"])
def test_a_copy_that_is_not_whole_any_more_is_fetched_again(
    s3_url: str, begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path, damage: str
) -> None:
    uri = f"{s3_url}/x.txt"
    spec = make_spec(data={"train": {"uri": uri}})
    put(s3_url, "x.txt", "In the beginning", tmp_path)
    (copy,) = copies(stage(begin_attempt(spec)), uri)
    match damage:
        case "cut short":
            copy.write_text("In the b")
        case "changed":
            copy.write_text("in the beginning")
        case _:  # left by a download that was killed
            copy.with_name(f"{copy.name}.a1B2c3D4").write_text("In the b")

    (again,) = copies(stage(begin_attempt(spec)), uri)
    assert again.read_text() == "In the beginning"


def test_files_of_a_job_that_the_storage_changed_are_not_used(
    begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    parent = begin_attempt()
    with Uploads(parent) as uploads:
        uploads.note(save_checkpoint(parent, 20))
        uploads.finish()
    uri = f"job://{parent.job.id}/checkpoints/step-00000020"
    method = {"name": "relora", "rank": 4, "warm_start_from": uri, "reset_every": 20}
    fork = begin_attempt(make_spec(method=method))
    file = parent.backends.store.artifact(
        parent.job.id, "checkpoints/step-00000020/model-00001.safetensors"
    )
    storage = parent.backends.settings.data_dir / "storage/jobs" / parent.job.id
    (storage / file.key).write_text("wEights")

    with pytest.raises(DataError, match=f"{uri}/{Path(file.path).name} as it was uploaded"):
        stage(fork)


def test_two_workers_that_want_the_same_copy_fetch_it_once(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    fetched: list[Path] = []

    def fetch(copy: Path) -> None:
        fetched.append(copy)
        time.sleep(0.2)
        copy.write_text("text")

    files = [Remote("the text", "x.txt", 4, None, fetch)]
    with ThreadPoolExecutor(2) as workers:
        folders = list(workers.map(lambda _: whole_copy(attempt, "name", files), range(2)))
    assert folders[0] == folders[1]
    assert [file.name for file in folders[0].iterdir()] == ["x.txt"]
    assert len(fetched) == 1


def test_a_copy_that_is_being_fetched_is_never_taken_for_garbage(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    attempt = begin_attempt()

    def fetch(copy: Path) -> None:
        os.utime(copy.parent, (0, 0))  # as if the download took long
        assert list(collect_leftovers(backends, dry_run=False)) == []
        copy.write_text("text")

    folder = whole_copy(attempt, "name", [Remote("the text", "x.txt", 4, None, fetch)])
    assert (folder / "x.txt").read_text() == "text"
