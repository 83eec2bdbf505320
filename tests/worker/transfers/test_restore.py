import shutil

import pytest

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from relora_core.events import CheckpointSaved
from relora_core.workdir.micro_batch_limits import MicroBatchLimits
from tests.worker.checkpoints import save_checkpoint, warnings
from tests.worker.conftest import BeginAttempt, MakeSpec
from worker.attempt.attempt import Attempt
from worker.transfers.restore import restore
from worker.transfers.uploads import Uploads

MODEL = "model-00001.safetensors"


def first_attempt(begin_attempt: BeginAttempt, *, uploaded: tuple[int, ...]) -> Attempt:
    """Return an attempt that uploaded checkpoints and returned to the queue."""
    attempt = begin_attempt()
    with Uploads(attempt) as uploads:
        for step in uploaded:
            uploads.note(save_checkpoint(attempt, step, content=f"uploaded {step}"))
        uploads.finish()
    attempt.store.requeue(attempt.job.id, attempt.number)
    return attempt


def restored(attempt: Attempt, step: int) -> str:
    assert attempt.workdir.checkpoint_steps() == [step]
    return (attempt.workdir.checkpoint(step) / MODEL).read_text()


def test_a_job_without_checkpoints_starts_from_nothing(begin_attempt: BeginAttempt) -> None:
    attempt = begin_attempt()

    assert restore(attempt) is None
    assert attempt.workdir.checkpoint_steps() == []


def test_on_another_node_the_newest_comes_from_the_storage(begin_attempt: BeginAttempt) -> None:
    first = first_attempt(begin_attempt, uploaded=(20, 40))
    shutil.rmtree(first.workdir.root)

    attempt = begin_attempt(job_id=first.job.id)

    assert restore(attempt) == 40
    assert restored(attempt, 40) == "uploaded 40"


def test_on_the_same_node_one_that_was_not_uploaded_yet_is_found(
    begin_attempt: BeginAttempt,
) -> None:
    first = first_attempt(begin_attempt, uploaded=(20,))
    save_checkpoint(first, 40, content="only here")

    attempt = begin_attempt(job_id=first.job.id)

    assert restore(attempt) == 40
    assert restored(attempt, 40) == "only here"


def test_a_damaged_one_is_passed_over_for_the_one_before(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    first = first_attempt(begin_attempt, uploaded=(20, 40))
    shutil.rmtree(first.workdir.root)
    stored = backends.settings.data_dir / "storage" / "jobs" / first.job.id
    model = backends.store.artifact(first.job.id, f"checkpoints/step-00000040/{MODEL}")
    (stored / model.key).write_text("uploaded 4_")

    attempt = begin_attempt(job_id=first.job.id)

    assert restore(attempt) == 20
    assert restored(attempt, 20) == "uploaded 20"
    assert warnings(backends, first.job.id) == ["checkpoint_damaged"]


def test_one_that_is_damaged_here_may_be_whole_in_the_storage(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    first = first_attempt(begin_attempt, uploaded=(20, 40))
    (first.workdir.checkpoint(40) / MODEL).unlink()

    attempt = begin_attempt(job_id=first.job.id)

    assert restore(attempt) == 40
    assert restored(attempt, 40) == "uploaded 40"
    assert warnings(backends, first.job.id) == ["checkpoint_damaged"]


def test_one_that_is_gone_from_the_storage_is_passed_over(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    first = first_attempt(begin_attempt, uploaded=(20,))
    shutil.rmtree(first.workdir.root)
    first.storage.delete("attempts")

    assert restore(begin_attempt(job_id=first.job.id)) is None
    assert warnings(backends, first.job.id) == ["checkpoint_damaged"]


def restored_elsewhere(first: Attempt, begin_attempt: BeginAttempt) -> list[int]:
    """Return the steps that another node has after it restored the uploaded checkpoints."""
    first.store.requeue(first.job.id, first.number)
    shutil.rmtree(first.workdir.root)
    attempt = begin_attempt(job_id=first.job.id)
    steps = attempt.workdir.checkpoint_steps
    assert restore(attempt) == steps()[-1]
    return steps()


def upload(attempt: Attempt, *saved: CheckpointSaved) -> Attempt:
    with Uploads(attempt) as uploads:
        for event in saved:
            uploads.note(event)
        uploads.finish()
    return attempt


def test_beside_a_stop_s_checkpoint_the_schedule_s_last_is_restored_for_a_rewind(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    upload(attempt, save_checkpoint(attempt, 40), save_checkpoint(attempt, 50))
    assert restored_elsewhere(attempt, begin_attempt) == [40, 50]


def test_a_run_that_may_not_rewind_needs_the_newest_alone(
    begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    document = make_spec().model_dump(mode="json")
    document["training"]["on_divergence"] = "fail"
    attempt = begin_attempt(JobSpec.model_validate(document))
    upload(attempt, save_checkpoint(attempt, 40), save_checkpoint(attempt, 50))
    assert restored_elsewhere(attempt, begin_attempt) == [50]


def test_for_one_that_was_saved_amid_trouble_the_one_before_the_trouble_is_restored(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    amid = save_checkpoint(attempt, 40, state='{"counters": {"skipped_in_a_row": 3}}')
    upload(attempt, save_checkpoint(attempt, 20), amid)
    assert restored_elsewhere(attempt, begin_attempt) == [20, 40]


def test_the_best_one_is_restored_too_if_its_weights_are_to_be_exported(
    begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    spec = make_spec(checkpoint={"every": 20, "keep_best": {}}, evaluation={"every": 20})
    document = spec.model_dump(mode="json")
    document["training"]["on_divergence"] = "fail"
    for weights, steps in (("last", [60]), ("best", [20, 60])):
        document["export"] = {"from": weights}
        attempt = begin_attempt(JobSpec.model_validate(document))
        newest = save_checkpoint(attempt, 60, state='{"counters": {"best_step": 20}}')
        upload(attempt, save_checkpoint(attempt, 20), save_checkpoint(attempt, 40), newest)
        assert restored_elsewhere(attempt, begin_attempt) == steps


def test_a_kill_before_a_checkpoint_is_verified_leaves_it_to_the_next_attempt(
    begin_attempt: BeginAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = first_attempt(begin_attempt, uploaded=(20,))
    save_checkpoint(first, 40, content="only here")
    second = begin_attempt(job_id=first.job.id)

    def die(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr("worker.transfers.restore.verify", die)
        with pytest.raises(KeyboardInterrupt):
            restore(second)
    second.store.requeue(second.job.id, second.number)

    third = begin_attempt(job_id=first.job.id)
    assert restore(third) == 40
    assert restored(third, 40) == "only here"


def test_micro_batches_that_were_too_large_are_known_to_the_next_attempt_on_the_node(
    begin_attempt: BeginAttempt,
) -> None:
    first = first_attempt(begin_attempt, uploaded=())
    MicroBatchLimits(first.workdir.root, 0).record("2 x h100", "low_rank", 32)

    attempt = begin_attempt(job_id=first.job.id)
    restore(attempt)

    assert MicroBatchLimits(attempt.workdir.root, 0).at_most("2 x h100", "low_rank") == 32
