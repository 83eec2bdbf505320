"""A profile that a person requests of a job while it trains."""

import gzip
import json

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus, RequestedAction
from relora_core.events import ProfileSaved
from tests.worker.attempts import LONG, attempt_in_background
from tests.worker.conftest import MakeSpec
from tests.worker.forked_trainer import ForkedLauncher
from tests.worker.processes import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_running_job_is_profiled_once_and_its_trace_is_an_artifact(
    backends: Backends, make_spec: MakeSpec
) -> None:
    store, job_id = backends.store, backends.store.create(make_spec(steps=LONG)).id

    def saved() -> list[ProfileSaved]:
        events = store.events(job_id, types={"train.profile"})
        return [event for event in events if isinstance(event, ProfileSaved)]

    def profile() -> None:
        before = len(saved())
        store.request_profile(job_id, 2)
        wait_until(lambda: len(saved()) == before + 1)

    with attempt_in_background(backends, job_id, launcher=ForkedLauncher()):
        profile()
        profile()
        store.request_action(job_id, RequestedAction.CANCEL)
    job = store.get(job_id)
    assert (job.status, job.error) == (JobStatus.CANCELLED, None)
    assert [event.step - event.from_step for event in saved()] == [2, 2]

    profiles = [file for file in store.artifacts(job_id) if file.kind == "profile"]
    assert [file.path for file in profiles] == [
        f"{event.path}/{name}" for event in saved() for name in ("operators.txt", "trace.json.gz")
    ]
    trace = next(file for file in profiles if file.path.endswith("trace.json.gz"))
    content = b"".join(backends.storage_for(job).read(trace.key, 0, trace.size))
    assert json.loads(gzip.decompress(content))["traceEvents"]
