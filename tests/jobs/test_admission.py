"""The admission check of specs against the store."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from jobs.admission import problems_of
from jobs.backends import Backends, open_backends
from jobs.schemas.job import JobSpec
from jobs.schemas.projects import NewProject
from jobs.settings import Settings
from tests.fixtures.databases import MakeTables


@pytest.fixture
def backends(tmp_path: Path, make_tables: MakeTables) -> Iterator[Backends]:
    keys = SecretStr(Fernet.generate_key().decode())
    settings = Settings(data_dir=tmp_path / "data", secret_keys=keys)
    make_tables(settings.data_dir)
    with closing(open_backends(settings)) as opened:
        yield opened


def test_a_secret_that_the_project_does_not_have_is_a_problem_of_its_field(
    backends: Backends, spec: JobSpec
) -> None:
    named = {"HF_TOKEN": "there", "WANDB_API_KEY": "not-there"}
    spec = spec.model_copy(update={"secrets": named})
    backends.secrets.put("default", "there", "value")
    backends.secrets.put("other", "not-there", "value")
    (problem,) = problems_of(spec, backends, project="default")
    assert problem.path == "secrets.WANDB_API_KEY"
    assert "store it under this name first" in problem.message
    assert "not-there" not in problem.message


def test_a_spec_that_names_nothing_has_no_problem(backends: Backends, spec: JobSpec) -> None:
    assert problems_of(spec, backends, project="default") == []


def test_a_project_does_not_write_into_the_job_of_another(
    backends: Backends, spec: JobSpec
) -> None:
    theirs = backends.store.create(spec)
    backends.projects.create(NewProject(name="b"))
    uri = f"{backends.settings.storage_url}/jobs/{theirs.id}"
    mine = JobSpec.model_validate({**spec.model_dump(), "output": {"uri": uri}})
    (problem,) = problems_of(mine, backends, project="b")
    assert problem.path == "output.uri"
