"""Projects in both databases: create, list, and change quotas."""

import pytest

from jobs.access.projects import ProjectStore
from jobs.errors import ProjectExists, ProjectNotFound
from jobs.schemas.projects import NewProject, ProjectChanges, Quotas, Usage


def test_the_default_project_is_there_from_the_start_without_quotas(
    projects: ProjectStore,
) -> None:
    report = projects.report("default")
    assert report.quotas == Quotas()
    assert report.usage == Usage(queued_jobs=0, running_jobs=0, gpus=0, storage_bytes=0)


def test_projects_are_listed_by_name(projects: ProjectStore) -> None:
    for name in ("speech", "audio"):
        projects.create(NewProject(name=name))
    assert [project.name for project in projects.list(limit=2)] == ["audio", "default"]
    assert [project.name for project in projects.list(limit=2, after="default")] == ["speech"]


def test_a_name_is_taken_once(projects: ProjectStore) -> None:
    with pytest.raises(ProjectExists, match="a project 'default' already"):
        projects.create(NewProject(name="default"))


@pytest.mark.parametrize("name", ["", "Speech", "a_b", "-a", "a-", "a\x00", "a/b"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(ValueError, match="must be lowercase letters"):
        NewProject(name=name)


def test_a_name_has_at_most_63_characters() -> None:
    assert NewProject(name="a" * 63)
    with pytest.raises(ValueError, match="at most 63 characters"):
        NewProject(name="a" * 64)


def test_a_quota_that_is_left_out_stays_and_null_lifts_one(projects: ProjectStore) -> None:
    projects.create(NewProject(name="speech", quotas=Quotas(queued_jobs=5, gpus=8)))
    changes = ProjectChanges(quotas=Quotas(gpus=None, storage_bytes=2**40))
    assert projects.change("speech", changes).quotas == Quotas(queued_jobs=5, storage_bytes=2**40)
    assert projects.change("speech", ProjectChanges(quotas=Quotas())).quotas.queued_jobs == 5


def test_a_project_that_is_not_there_is_named(projects: ProjectStore) -> None:
    with pytest.raises(ProjectNotFound, match="no project 'speech'"):
        projects.report("speech")
    with pytest.raises(ProjectNotFound, match="no project 'speech'"):
        projects.change("speech", ProjectChanges(quotas=Quotas()))
