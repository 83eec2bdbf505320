"""Callers with keys, for the tests of the service."""

from typing import Any

import httpx

from jobs.backends import Backends
from jobs.schemas.keys import CreatedKey, NewKey, Scope
from jobs.schemas.projects import NewProject


def make_key(
    backends: Backends, scope: Scope = Scope.WRITE, project: str = "default", **values: Any
) -> CreatedKey:
    """A key of a project, which is made as well if it has to be."""
    if project not in {existing.name for existing in backends.projects.list(limit=10)}:
        backends.projects.create(NewProject(name=project))
    return backends.keys.create(NewKey(name="test", scope=scope, **values), project=project)


def bearing(key: CreatedKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.key}"}


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]
