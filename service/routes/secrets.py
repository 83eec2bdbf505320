"""Secrets: store, replace, list and delete them. Their values are never shown."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field, SecretStr, field_validator

from jobs.schemas.body import Body
from jobs.schemas.secret_names import SecretName
from jobs.schemas.secrets import Secret
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.limits import MAX_NAME
from service.routes.dependencies import CURSOR, BackendsDep, PageLimit, ProjectDep
from service.schemas.pages import Page

router = APIRouter(prefix="/v1/secrets", tags=["secrets"], route_class=CallerRoute)

Name = Annotated[SecretName, Path(max_length=MAX_NAME, examples=["my-hf-token"])]


class SecretValue(Body):
    model_config = ConfigDict(json_schema_extra={"example": {"value": "hf_0123456789abcdef"}})

    # Logs are masked line by line, so a value must be one line. A value of fewer than four
    # characters would be found in many words.
    value: Annotated[SecretStr, Field(min_length=4, max_length=8192)] = Field(
        description="One line, at least four characters. The API never returns it."
    )

    @field_validator("value")
    @classmethod
    def _one_line(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().isprintable():
            raise ValueError("must be one line, without control characters")
        return value


@router.put("/{name}", summary="Store a secret", responses=documented(400, 422, 503))
def put_secret(name: Name, body: SecretValue, backends: BackendsDep, project: ProjectDep) -> Secret:
    """Store a value under a name. It replaces an earlier value of that name.

    Jobs that name the secret get the new value when their next attempt starts.
    """
    return backends.secrets.put(project, name, body.value.get_secret_value())


@router.get("", summary="List the names of secrets", responses=documented(422))
def list_secrets(
    backends: BackendsDep,
    project: ProjectDep,
    limit: PageLimit = 50,
    cursor: Annotated[SecretName | None, Query(max_length=MAX_NAME, description=CURSOR)] = None,
) -> Page[Secret]:
    """Return the names of the secrets, sorted, without their values."""
    found = backends.secrets.list(project, limit=limit + 1, after=cursor)
    return Page[Secret].of(found, limit, cursor="name")


@router.delete(
    "/{name}", summary="Delete a secret", status_code=204, responses=documented(404, 422)
)
def delete_secret(name: Name, backends: BackendsDep, project: ProjectDep) -> None:
    """Delete a secret. A job that names it fails when its next attempt starts."""
    backends.secrets.delete(project, name)
