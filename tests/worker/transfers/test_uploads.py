import shutil
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from jobs.backends import Backends
from jobs.errors import LeaseLost, StorageError
from jobs.schemas.events import AnyJobEvent, JobWarned
from jobs.schemas.status import JobError
from jobs.storage import Storage
from jobs.storage.s3 import S3Storage
from relora_core.checkpoint.manifest import read_manifest
from relora_core.events import CheckpointSaved, Exported, Rewound, SpectrumMeasured
from relora_core.workdir.files import checkpoint_path
from tests.worker.checkpoints import save_checkpoint, warnings
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.processes import wait_until
from worker.attempt.attempt import Attempt
from worker.transfers.uploads import Uploads


def upload(
    attempt: Attempt, *events: CheckpointSaved | Exported | Rewound | SpectrumMeasured
) -> None:
    with Uploads(attempt) as uploads:
        for event in events:
            uploads.note(event)
        uploads.finish()


def export(attempt: Attempt, path: str, content: str = "model") -> Exported:
    folder = attempt.workdir.root / path
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text(content)
    return Exported(step=60, path=path, bytes=len(content))


def report(attempt: Attempt, **contents: str) -> SpectrumMeasured:
    attempt.workdir.reports.mkdir(exist_ok=True)
    for ending, content in contents.items():
        (attempt.workdir.reports / f"spectrum.{ending}").write_text(content)
    return SpectrumMeasured(
        step=60,
        restart=1,
        layers=14,
        effective_rank=3.5,
        stable_rank=2.5,
        numerical_rank=4,
        path="reports/spectrum.json",
        seconds=0.1,
    )


def listed(attempt: Attempt) -> list[str]:
    return [file.path for file in attempt.backends.store.artifacts(attempt.job.id)]


def stored(attempt: Attempt) -> list[str]:
    """Return the paths of all stored files. A file that is not listed is marked as unlisted."""
    listed = {file.key: file.path for file in attempt.backends.store.artifacts(attempt.job.id)}
    return sorted(
        listed.get(file.key, f"unlisted: {file.key}") for file in attempt.storage.list("")
    )


class SlowStorage:
    """The storage of an attempt. Its first upload blocks until `go_on` is set."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._began, self.go_on = threading.Event(), threading.Event()
        self.steps: list[int] = []

    @classmethod
    def of(cls, attempt: Attempt) -> "SlowStorage":
        slow = cls(attempt.storage)
        attempt.__dict__["storage"] = slow
        return slow

    def upload(self, file: Path, key: str) -> None:
        if file.name == "manifest.json":
            self.steps.append(read_manifest(file.parent).step)
        self._began.set()
        assert self.go_on.wait(10)
        self._storage.upload(file, key)

    def wait_for_an_upload(self) -> None:
        assert self._began.wait(10)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def check_hashes(attempt: Attempt) -> None:
    """Check that each listed file has the listed hash."""
    for file in attempt.backends.store.artifacts(attempt.job.id):
        assert sha256(b"".join(attempt.storage.read(file.key))).hexdigest() == file.sha256


def is_warning(event: AnyJobEvent) -> TypeGuard[JobWarned]:
    return isinstance(event, JobWarned)


def steps(attempt: Attempt) -> set[int | None]:
    return {file.step for file in attempt.backends.store.artifacts(attempt.job.id)}


def test_a_checkpoint_is_listed_with_what_its_manifest_says(begin_attempt: BeginAttempt) -> None:
    attempt = begin_attempt()

    upload(attempt, save_checkpoint(attempt, 20))

    folder = "checkpoints/step-00000020"
    names = ["manifest.json", "model-00001.safetensors", "state.json"]
    assert listed(attempt) == stored(attempt) == [f"{folder}/{name}" for name in names]
    model = attempt.backends.store.artifact(attempt.job.id, f"{folder}/model-00001.safetensors")
    assert (model.kind, model.step, model.size) == ("checkpoint", 20, 7)
    assert model.sha256 == sha256(b"weights").hexdigest()


def test_models_are_told_apart(begin_attempt: BeginAttempt) -> None:
    attempt = begin_attempt()

    upload(attempt, export(attempt, "merged/step-00000060"), export(attempt, "final"))

    kinds = {
        file.path: (file.kind, file.step)
        for file in attempt.backends.store.artifacts(attempt.job.id)
    }
    assert kinds == {
        "final/model.safetensors": ("final", 60),
        "merged/step-00000060/model.safetensors": ("merged", 60),
    }


def test_a_report_and_its_picture_are_there_while_the_run_goes_on(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()

    upload(attempt, report(attempt, json="{}", png="picture"))

    assert listed(attempt) == stored(attempt) == ["reports/spectrum.json", "reports/spectrum.png"]
    picture = attempt.backends.store.artifact(attempt.job.id, "reports/spectrum.png")
    assert (picture.kind, picture.size) == ("report", 7)


def test_a_report_written_anew_takes_the_place_of_the_older(begin_attempt: BeginAttempt) -> None:
    attempt = begin_attempt()
    upload(attempt, report(attempt, json="one"))
    (attempt.workdir.reports / ".spectrum.json.tmp").write_text("half")  # the trainer is writing it

    upload(attempt, report(attempt, json="another"))

    assert listed(attempt) == stored(attempt) == ["reports/spectrum.json"]
    file = attempt.backends.store.artifact(attempt.job.id, "reports/spectrum.json")
    assert b"".join(attempt.storage.read(file.key)) == b"another"
    assert file.sha256 == sha256(b"another").hexdigest()


def test_the_end_of_an_attempt_uploads_its_log_and_its_reports(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    attempt.workdir.log.write_text("the last words")
    report(attempt, json="{}", png="picture")

    with Uploads(attempt) as uploads:
        uploads.note_log(attempt.workdir)
        uploads.finish()

    log = attempt.workdir.log.name
    assert listed(attempt) == [f"logs/{log}", "reports/spectrum.json", "reports/spectrum.png"]


def test_the_log_is_uploaded_without_the_values_of_secrets(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, backends: Backends
) -> None:
    backends.secrets.put("default", "my-token", "hf_0123")
    attempt = begin_attempt(make_spec(secrets={"HF_TOKEN": "my-token"}))
    attempt.workdir.log.write_bytes(b"GET /model?token=hf_0123\r\n\xff\n")

    with Uploads(attempt) as uploads:
        uploads.note_log(attempt.workdir)
        uploads.finish()

    (log,) = attempt.backends.store.artifacts(attempt.job.id)
    content = b"".join(attempt.storage.read(log.key))
    assert content == b"GET /model?token=***\r\n\xff\n"
    assert log.sha256 == sha256(content).hexdigest()


def test_older_checkpoints_make_room_in_the_storage(
    begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    attempt = begin_attempt(make_spec(checkpoint={"every": 20, "keep_last": 2, "keep_every": 40}))

    upload(attempt, *(save_checkpoint(attempt, step) for step in (20, 40, 60, 80, 100)))

    assert steps(attempt) == {40, 80, 100}
    assert {key.split("/")[1] for key in stored(attempt)} == {
        "step-00000040",
        "step-00000080",
        "step-00000100",
    }


def test_the_best_checkpoint_stays_in_the_storage_until_a_better_one_comes(
    begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    attempt = begin_attempt(make_spec(checkpoint={"every": 20, "keep_last": 1}))

    def saved(step: int, best: int) -> CheckpointSaved:
        return save_checkpoint(attempt, step).model_copy(update={"best_step": best})

    upload(attempt, saved(20, 20), saved(40, 20), saved(60, 20))
    assert steps(attempt) == {20, 60}
    upload(attempt, saved(80, 80), saved(100, 80))
    assert steps(attempt) == {80, 100}


def test_checkpoints_of_earlier_attempts_make_room_too(begin_attempt: BeginAttempt) -> None:
    first = begin_attempt()
    upload(first, save_checkpoint(first, 20), save_checkpoint(first, 40))
    first.store.requeue(first.job.id, first.number)

    second = begin_attempt(job_id=first.job.id)
    upload(second, save_checkpoint(second, 60))

    assert steps(second) == {40, 60}
    assert not first.workdir.root.exists()


def test_a_checkpoint_that_the_trainer_deleted_first_is_skipped(
    begin_attempt: BeginAttempt, backends: Backends
) -> None:
    attempt = begin_attempt()
    saved = save_checkpoint(attempt, 20)
    shutil.rmtree(attempt.workdir.checkpoint(20))

    upload(attempt, saved)

    assert listed(attempt) == stored(attempt) == []
    assert warnings(backends, attempt.job.id) == []


def test_a_checkpoint_saved_again_takes_the_place_of_the_first(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    upload(attempt, save_checkpoint(attempt, 20))
    shutil.rmtree(attempt.workdir.checkpoint(20))

    upload(attempt, save_checkpoint(attempt, 20, content="other weights"))

    model = attempt.backends.store.artifact(
        attempt.job.id, f"{checkpoint_path(20)}/model-00001.safetensors"
    )
    assert model.size == len("other weights")
    assert b"".join(attempt.storage.read(model.key)) == b"other weights"


def test_a_storage_that_falls_behind_gets_the_newest_first_and_says_how_far_behind_it_is(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, backends: Backends
) -> None:
    attempt = begin_attempt(make_spec(checkpoint={"every": 20, "keep_last": 1}))
    storage = SlowStorage.of(attempt)

    with Uploads(attempt) as uploads:
        for step in (20, 40, 60, 80):
            uploads.note(save_checkpoint(attempt, step))
            storage.wait_for_an_upload()
            shutil.rmtree(attempt.workdir.checkpoint(step))  # as the trainer soon does
        storage.go_on.set()
        uploads.finish()

    assert storage.steps == [20, 80]
    assert steps(attempt) == {80}
    assert stored(attempt) == listed(attempt)
    assert not any(attempt.workdir.pending.iterdir())
    (warning,) = (event for event in backends.store.events(attempt.job.id) if is_warning(event))
    assert warning.code == "storage_behind"
    assert "2 checkpoints of this attempt were passed over, the last of step 60" in warning.message


def test_milestones_are_uploaded_though_newer_ones_came(
    begin_attempt: BeginAttempt, make_spec: MakeSpec
) -> None:
    attempt = begin_attempt(make_spec(checkpoint={"every": 20, "keep_last": 1, "keep_every": 40}))
    storage = SlowStorage.of(attempt)

    with Uploads(attempt) as uploads:
        for step in (20, 40, 60, 100):
            uploads.note(save_checkpoint(attempt, step))
            storage.wait_for_an_upload()
        storage.go_on.set()
        uploads.finish()

    assert storage.steps == [20, 100, 40]
    assert steps(attempt) == {40, 100}


def test_what_is_saved_again_after_a_rewind_stays_though_the_storage_was_behind(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    storage = SlowStorage.of(attempt)

    with Uploads(attempt) as uploads:
        uploads.note(save_checkpoint(attempt, 20))
        storage.wait_for_an_upload()
        uploads.note(save_checkpoint(attempt, 40))
        shutil.rmtree(attempt.workdir.checkpoint(40))
        uploads.note(Rewound(from_step=45, to_step=20, passed_over_steps=25, number=1))
        uploads.note(save_checkpoint(attempt, 40, content="other weights"))
        storage.go_on.set()
        uploads.finish()

    assert steps(attempt) == {20, 40}
    check_hashes(attempt)


def test_a_write_of_a_lost_attempt_that_arrives_late_changes_no_listed_file(
    begin_attempt: BeginAttempt,
) -> None:
    first = begin_attempt()
    storage = SlowStorage.of(first)
    with Uploads(first) as uploads:
        uploads.note(save_checkpoint(first, 20, content="of the lost attempt"))
        storage.wait_for_an_upload()
        first.store.requeue(first.job.id, first.number)
        second = begin_attempt(job_id=first.job.id)
        upload(second, save_checkpoint(second, 20, content="of the next one"))
        storage.go_on.set()
        with pytest.raises(LeaseLost):
            uploads.finish()

    check_hashes(second)
    model = second.backends.store.artifact(
        second.job.id, f"{checkpoint_path(20)}/model-00001.safetensors"
    )
    assert b"".join(second.storage.read(model.key)) == b"of the next one"


def test_a_place_of_its_own_has_the_final_model_under_its_plain_names(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    attempt = begin_attempt(make_spec(output={"uri": (tmp_path / "place").as_uri()}))

    upload(attempt, export(attempt, "final"))

    assert (tmp_path / "place/final/model.safetensors").read_text() == "model"
    check_hashes(attempt)


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.integration)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return an output location for `output.uri`, in a folder or in a bucket."""
    if request.param == "file":
        return (tmp_path / "place").as_uri()
    return f"{request.getfixturevalue('s3_url')}/place"


class Stopped:
    """A function that blocks its caller until `go_on` is set, like a stopped worker."""

    def __init__(self) -> None:
        self._reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self._reached.set()
        assert self.go_on.wait(10)

    def wait_until_reached(self) -> None:
        assert self._reached.wait(10)


def check_that_the_next_model_stays(
    first: Attempt, begin_attempt: BeginAttempt, stopped: Stopped, *, size: int
) -> None:
    """Check that a woken attempt does not replace the model of the next attempt.

    `first` is stopped while it publishes its final model. It wakes up after the next attempt has
    published its own.
    """
    with Uploads(first) as uploads:
        uploads.note(export(first, "final", "1" * size))
        stopped.wait_until_reached()
        first.store.requeue(first.job.id, first.number)
        second = begin_attempt(job_id=first.job.id)
        upload(second, export(second, "final", "2" * size))
        stopped.go_on.set()
        with pytest.raises((FileNotFoundError, StorageError, LeaseLost)):
            uploads.finish()
    assert b"".join(second.storage.read("final/model.safetensors")) == b"2" * size
    check_hashes(second)


def test_a_copy_of_a_lost_attempt_that_arrives_late_leaves_the_final_model_of_the_next(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, stopped = begin_attempt(make_spec(output={"uri": place})), Stopped()
    copy = first.storage.copy

    def copy_late(key: str, to: str) -> None:
        stopped()
        copy(key, to)

    monkeypatch.setattr(first.storage, "copy", copy_late)
    check_that_the_next_model_stays(first, begin_attempt, stopped, size=9)


@pytest.mark.integration
def test_a_copy_in_parts_of_a_lost_attempt_cannot_be_finished_after_the_next(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, s3_url: str
) -> None:
    first, stopped = begin_attempt(make_spec(output={"uri": s3_url})), Stopped()

    def complete_late(params: dict[str, Any], **_: object) -> None:
        if params["Key"].endswith("/final/model.safetensors") and "attempts" not in params["Key"]:
            stopped()

    assert isinstance(first.storage, S3Storage)
    first.storage._client.meta.events.register(
        "before-parameter-build.s3.CompleteMultipartUpload", complete_late
    )
    check_that_the_next_model_stays(first, begin_attempt, stopped, size=9 << 20)


def test_an_export_that_is_replaced_while_it_is_uploaded_is_listed_with_its_own_bytes(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    storage = SlowStorage.of(attempt)
    path = "merged/step-00000060"
    with Uploads(attempt) as uploads:
        uploads.note(export(attempt, path, "before the rewind"))
        storage.wait_for_an_upload()
        (attempt.workdir.root / path).rename(attempt.workdir.root / "replaced")
        again = export(attempt, path, "after")
        storage.go_on.set()
        wait_until(lambda: listed(attempt) == [f"{path}/model.safetensors"])
        check_hashes(attempt)
        uploads.note(again)
        uploads.finish()
    check_hashes(attempt)
    assert attempt.backends.store.artifacts(attempt.job.id)[0].size == len("after")


def test_a_storage_that_stays_away_costs_a_checkpoint_but_not_the_model(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, backends: Backends, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    attempt = begin_attempt(make_spec(output={"uri": f"file://{tmp_path}/file/folder"}))

    upload(attempt, save_checkpoint(attempt, 20))
    assert warnings(backends, attempt.job.id) == ["checkpoint_not_uploaded"]

    with pytest.raises(StorageError, match="file/folder"):
        upload(attempt, export(attempt, "final"))
    assert listed(attempt) == []


def test_an_upload_that_fails_is_told_while_the_run_goes_on(
    begin_attempt: BeginAttempt, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("nobody thought of this")

    attempt = begin_attempt()
    monkeypatch.setattr(attempt.backends.attempts, "add_artifacts", fail)
    with Uploads(attempt) as uploads:
        uploads.note(export(attempt, "merged/step-00000060"))
        wait_until(lambda: "an upload failed" in caplog.text)
        with pytest.raises(ValueError, match="nobody thought of this"):
            uploads.finish()


def test_an_attempt_that_lost_its_job_lists_nothing(
    begin_attempt: BeginAttempt,
) -> None:
    attempt = begin_attempt()
    error = JobError(code="worker_lost", message="no sign of life")
    attempt.store.retry(attempt.job.id, attempt.number, error)

    with pytest.raises(LeaseLost):
        upload(attempt, save_checkpoint(attempt, 20))

    assert listed(attempt) == []


def test_what_a_rewind_undid_leaves_the_storage(begin_attempt: BeginAttempt) -> None:
    attempt = begin_attempt()
    rewound = Rewound(from_step=45, to_step=20, passed_over_steps=25, number=1)
    upload(attempt, save_checkpoint(attempt, 20), save_checkpoint(attempt, 40), rewound)
    assert steps(attempt) == {20}
    assert not any(checkpoint_path(40) in key for key in stored(attempt))


def test_exports_that_a_lost_attempt_did_not_upload_are_uploaded_by_the_next(
    begin_attempt: BeginAttempt,
) -> None:
    first = begin_attempt()
    upload(first, export(first, "merged/step-00000020", "uploaded"))
    export(first, "merged/step-00000040", "lost")
    export(first, "merged/step-00000060", "made again")
    first.store.requeue(first.job.id, first.number)
    (first.workdir.root / "merged/step-00000020/model.safetensors").unlink()  # not needed any more

    second = begin_attempt(job_id=first.job.id)
    with Uploads(second) as uploads:
        uploads.note_exports(first.workdir, up_to=40)
        uploads.finish()

    folders = ("merged/step-00000020", "merged/step-00000040")
    assert listed(second) == [f"{folder}/model.safetensors" for folder in folders]


def test_an_export_of_a_lost_attempt_stays_on_the_node_until_it_is_stored(
    begin_attempt: BeginAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin_attempt()
    export(first, "merged/step-00000040")
    first.store.requeue(first.job.id, first.number)
    second = begin_attempt(job_id=first.job.id)

    def refuse(_: Uploads, *__: object) -> None:
        raise StorageError("away")

    with Uploads(second) as uploads:
        with monkeypatch.context() as away:
            away.setattr(Uploads, "_lost_export", refuse)
            uploads.note_exports(first.workdir, up_to=40)
        uploads.note(save_checkpoint(second, 60))
        with pytest.raises(StorageError):
            uploads.finish()
    assert steps(second) == {60}
    assert (first.workdir.root / "merged/step-00000040/model.safetensors").exists()


def test_a_checkpoint_that_cannot_be_kept_for_its_upload_is_a_warning(
    begin_attempt: BeginAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = begin_attempt()
    saved = save_checkpoint(attempt, 20)

    def full(*_: object, **__: object) -> None:
        raise shutil.Error([("a", "b", "No space left on device")])

    monkeypatch.setattr(shutil, "copytree", full)
    upload(attempt, saved)
    assert warnings(attempt.backends, attempt.job.id) == ["checkpoint_not_uploaded"]
