"""A trainer that dies, breaks or hangs, and files that are damaged: nothing is lost."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.status import JobStatus
from tests.faults.conftest import NothingIsLost
from tests.faults.held import HELD, SAVED, go_on, held_attempt, hurry, reason
from tests.faults.jobs import SAVE_EVERY, SHORT, short_job
from tests.faults.kinds import append, cut, flip, overwrite
from tests.fixtures.cgroups import MemoryCgroup
from tests.worker.attempts import attempt, starts
from tests.worker.checkpoints import warnings
from tests.worker.conftest import MakeSpec
from tests.worker.forked_trainer import ForkedLauncher
from worker.attempt.workdir import Workdir

pytestmark = pytest.mark.integration

KILLED = f"at:{HELD}:kill"


def fail(backends: Backends, job_id: str, fault: str = KILLED) -> None:
    """Run the first attempt, which fails because of a fault."""
    attempt(backends, job_id, launcher=ForkedLauncher({1: fault}))
    assert backends.store.get(job_id).status is JobStatus.QUEUED


@pytest.mark.parametrize(
    ("fault", "resumes_from", "code"),
    [
        pytest.param(KILLED, SAVED, "trainer_crashed", id="before a step"),
        pytest.param(
            "kill:relora_core.checkpoint.checkpointer:write_manifest:2",
            SAVED - SAVE_EVERY,
            "trainer_crashed",
            id="while it saves",
        ),
        pytest.param(
            "kill:relora_core.export.hf_model:model_card:1",
            SHORT,
            "trainer_crashed",
            id="while it exports",
        ),
        pytest.param(f"at:{HELD}:break", SAVED, "unexpected_error", id="by an error"),
    ],
)
def test_a_run_that_its_trainer_ended_goes_on_from_its_newest_checkpoint(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    fault: str,
    resumes_from: int,
    code: str,
) -> None:
    fail(backends, job_id, fault)
    failed_attempts, told, _ = reason(backends, job_id)
    assert (failed_attempts, told) == (1, code)
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, resumes_from]
    nothing_is_lost(job_id)


def test_a_run_whose_trainer_is_killed_twice_goes_on_from_its_newest_checkpoint(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    twice = ForkedLauncher({1: KILLED, 2: f"at:{HELD + SAVE_EVERY}:kill"})
    for _ in range(3):
        attempt(backends, job_id, launcher=twice)
    assert starts(backends, job_id) == [None, SAVED, SAVED + SAVE_EVERY]
    nothing_is_lost(job_id)


def test_a_run_whose_trainer_hangs_goes_on_from_its_newest_checkpoint(
    backends: Backends,
    make_spec: MakeSpec,
    nothing_is_lost: NothingIsLost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job_id = backends.store.create(short_job(make_spec, retries={"stalled_after": 60})).id
    with monkeypatch.context() as patched, held_attempt(backends, job_id) as held:
        hurry(patched)
        held.wait()
    failed_attempts, code, message = reason(backends, job_id)
    assert (failed_attempts, code) == (1, "trainer_stalled")
    assert message.startswith("The trainer gave no sign of life for 60 s and was ended")
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)


def test_a_run_that_the_kernel_ended_for_lack_of_memory_goes_on_from_its_newest_checkpoint(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost, memory_cgroup: MemoryCgroup
) -> None:
    with held_attempt(backends, job_id) as held:
        for pid in held.pids:
            Path(f"/proc/{pid}/oom_score_adj").write_text("1000")  # it is the first to be killed
            memory_cgroup.add(pid)
        memory_cgroup.allow_no_more()
        subprocess.run(memory_cgroup.allocate_until_one_is_killed())
    failed_attempts, code, message = reason(backends, job_id)
    assert (failed_attempts, code) == (1, "trainer_crashed")
    assert "the machine or its container ran out of memory" in message
    go_on(backends, job_id)
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)


def test_a_checkpoint_with_garbage_for_a_manifest_is_passed_over_for_the_one_in_the_storage(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    fail(backends, job_id)
    workdir = Workdir.of(backends.settings.scratch_dir, job_id, 1)
    overwrite(workdir.checkpoint(SAVED) / "manifest.json")
    go_on(backends, job_id)
    assert warnings(backends, job_id) == ["checkpoint_damaged"]
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)


def test_a_checkpoint_that_is_damaged_everywhere_is_passed_over_for_the_one_before(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    fail(backends, job_id)
    for state in backends.settings.data_dir.rglob(f"*{SAVED}*/**/state.json"):
        flip(state)
    go_on(backends, job_id)
    assert warnings(backends, job_id) == ["checkpoint_damaged"] * 2
    assert starts(backends, job_id) == [None, SAVED - SAVE_EVERY]
    nothing_is_lost(job_id)


@pytest.mark.parametrize(
    ("files", "damage"), [("*.bin", cut), ("manifest.json", overwrite)], ids=["cut", "garbage"]
)
def test_damaged_tokens_in_the_cache_of_the_node_are_computed_again(
    backends: Backends,
    job_id: str,
    nothing_is_lost: NothingIsLost,
    files: str,
    damage: Callable[[Path], None],
) -> None:
    fail(backends, job_id)
    cached = list(backends.settings.cache_dir.rglob(files))
    for file in cached:
        damage(file)
    damaged = [file.read_bytes() for file in cached]
    go_on(backends, job_id)
    assert all(file.read_bytes() != was for file, was in zip(cached, damaged, strict=True))
    assert cached
    nothing_is_lost(job_id)


def test_a_run_goes_on_beside_a_damaged_line_among_its_events(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    with held_attempt(backends, job_id):
        append(Workdir.of(backends.settings.scratch_dir, job_id, 1).events, b"\0" * 40 + b"\n")
    assert warnings(backends, job_id) == ["events_unreadable"]
    assert starts(backends, job_id) == [None]
    nothing_is_lost(job_id)


def test_half_a_line_at_the_end_of_the_events_of_a_killed_trainer_is_left_out(
    backends: Backends, job_id: str, nothing_is_lost: NothingIsLost
) -> None:
    with held_attempt(backends, job_id) as held:
        append(Workdir.of(backends.settings.scratch_dir, job_id, 1).events, b'{"type": "train.st')
        held.kill()
    go_on(backends, job_id)
    assert warnings(backends, job_id) == []
    assert starts(backends, job_id) == [None, SAVED]
    nothing_is_lost(job_id)
