"""What only this service's store can tell of a spec: whether it has what the spec names."""

from collections.abc import Iterator

from jobs.backends import Backends
from jobs.models import JobSpec
from relora_core.problems import Problem


def problems_of(spec: JobSpec, backends: Backends, *, project: str) -> list[Problem]:
    """Why a valid spec cannot be run here; each field to change. Empty for one that can."""
    return [*_unknown_secrets(spec, backends, project)]


def _unknown_secrets(spec: JobSpec, backends: Backends, project: str) -> Iterator[Problem]:
    """The message does not repeat the name, which may be a value that was written by mistake."""
    if not spec.secrets:
        return
    missing = backends.secrets.missing(project, set(spec.secrets.values()))
    for variable, name in spec.secrets.items():
        if name in missing:
            message = "the project has no secret of this name; store it with PUT /v1/secrets/{name}"
            yield Problem(path=f"secrets.{variable}", message=message)
