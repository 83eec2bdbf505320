"""The text that a job shows about errors outside of it."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from sqlalchemy.exc import OperationalError

from jobs.backends import Backends
from jobs.errors import StorageRefused
from relora_core.errors import DataError
from tests.fixtures.proxy import Answer, Proxy
from tests.worker.attempts import attempt
from tests.worker.conftest import MakeSpec
from worker.failures import told

ANSWER = "what only the worker can read"
REFUSAL = f"<Error><Code>AccessDenied</Code><Message>{ANSWER}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StorageRefused("our words"), "our words"),
        (DataError("our words"), "our words"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (OperationalError("SELECT 1", {"name": ANSWER}, Exception(ANSWER)), "the database failed"),
        (OSError(ANSWER), "OSError"),
        (RuntimeError(ANSWER), "RuntimeError"),
    ],
)
def test_only_our_own_words_and_those_of_the_file_system_are_told(
    error: Exception, said: str
) -> None:
    assert told(error).startswith(said)
    assert ANSWER not in told(error)


@pytest.mark.integration
@pytest.mark.parametrize("place", ["output", "data"])
def test_no_word_that_a_storage_answers_reaches_the_person(
    s3_url: str,
    make_spec: MakeSpec,
    backends: Backends,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    endpoint = boto3.client("s3").meta.endpoint_url
    parts: dict[str, dict[str, Any]] = {
        "output": {"output": {"uri": s3_url}},
        "data": {"data": {"train": {"uri": f"{s3_url}/*.jsonl"}, "sequence_length": 32}},
    }
    job_id = backends.store.create(make_spec(**parts[place])).id
    with Proxy.to(endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url(endpoint))
        proxy.answer(lambda _method, _target: Answer(403, REFUSAL))
        failed = attempt(backends, job_id)

    assert failed.error is not None
    assert failed.error.code == "storage_refused"
    assert "AccessDenied (HTTP status 403)" in failed.error.message
    assert ANSWER not in failed.model_dump_json()
    events = backends.store.events(job_id)
    assert all(ANSWER not in event.model_dump_json() for event in events)
    assert [event.type for event in events if not event.type.startswith("job.")] == []  # no trainer
    data = backends.settings.data_dir
    assert [file for file in files_below(data) if ANSWER.encode() in file.read_bytes()] == []


def files_below(folder: Path) -> list[Path]:
    """Return the files of the database, of the storage and of the attempts."""
    return [file for file in folder.rglob("*") if file.is_file()]
