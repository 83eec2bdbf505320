"""A job that an older server accepted does not damage the files of another job."""

from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from jobs.schemas.projects import NewProject
from jobs.store.origin import Origin
from tests.worker.checkpoints import save_checkpoint
from tests.worker.conftest import BeginAttempt, MakeSpec
from worker.attempt.attempt import Attempt
from worker.transfers.output_checks import LocationRefused, check_locations, take_output
from worker.transfers.uploads import Uploads


def checkpointed(begin_attempt: BeginAttempt, spec: JobSpec) -> Attempt:
    """Return an attempt that has uploaded the checkpoint of step 20."""
    attempt = begin_attempt(spec)
    with Uploads(attempt) as uploads:
        uploads.note(save_checkpoint(attempt, 20))
        uploads.finish()
    return attempt


def files(attempt: Attempt) -> list[str]:
    return [file.key for file in attempt.storage.list("attempts")]


def test_a_job_does_not_begin_where_the_services_files_are(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, backends: Backends
) -> None:
    theirs = checkpointed(begin_attempt, make_spec())
    backends.projects.create(NewProject(name="other"))
    place = f"{backends.settings.storage_url}/jobs/{theirs.job.id}"
    job = backends.store.create(make_spec(output={"uri": place}), project="other")
    with pytest.raises(LocationRefused, match=r"output\.uri: .* inside of the service's own"):
        check_locations(begin_attempt(job_id=job.id))


def test_a_worker_has_no_laxer_rules_than_the_service_that_accepted_the_job(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, backends: Backends
) -> None:
    assert backends.settings.authentication == "auto"
    check_locations(begin_attempt(make_spec()))
    job = backends.store.submit(make_spec(), project="default", origin=Origin(with_keys=True)).job
    with pytest.raises(LocationRefused, match=r"data\.train\.uri: .*where no source is allowed"):
        check_locations(begin_attempt(job_id=job.id))


def test_a_place_that_is_another_jobs_is_not_cleared(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec(output={"uri": (tmp_path / "models").as_uri()})
    theirs = checkpointed(begin_attempt, spec)
    before = files(theirs)
    mine = begin_attempt(spec)
    with Uploads(mine) as uploads:
        with pytest.raises(LocationRefused, match=f"is the place of job {theirs.job.id}"):
            uploads.take_place()
        uploads.note(save_checkpoint(mine, 20))
        with pytest.raises(LocationRefused):
            uploads.finish()
    assert files(theirs) == before != []


def test_a_place_with_a_model_of_somebody_is_not_cleared(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    model = tmp_path / "models/final/model.safetensors"
    model.parent.mkdir(parents=True)
    model.write_text("precious")
    attempt = begin_attempt(make_spec(output={"uri": (tmp_path / "models").as_uri()}))
    with pytest.raises(LocationRefused, match="holds checkpoints or models already"):
        take_output(attempt)
    assert model.read_text() == "precious"


def test_the_next_attempt_of_a_job_goes_on_in_its_place(
    begin_attempt: BeginAttempt, make_spec: MakeSpec, tmp_path: Path
) -> None:
    attempt = checkpointed(begin_attempt, make_spec(output={"uri": (tmp_path / "models").as_uri()}))
    attempt.store.requeue(attempt.job.id, attempt.number)
    take_output(begin_attempt(job_id=attempt.job.id))
