"""API keys as people request and see them, and the scopes with their permissions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.body import Body
from jobs.schemas.projects import ProjectName
from relora_core.spec import TextPattern


class Scope(StrEnum):
    """The permissions of a key. Each scope includes those before it."""

    READ = "read"  # read everything in its project
    WRITE = "write"  # submit, change and delete
    ADMIN = "admin"  # create and revoke the project's keys
    OPERATOR = "operator"  # manage projects, quotas and keys of the whole service

    def includes(self, needed: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(needed)


_ONE_LINE = TextPattern(r"^[^\x00-\x1f\x7f]+$", "one line of text, without control characters")


class NewKey(Body):
    """A request for a new key."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"name": "nightly sweep", "scope": "write", "expires_in_days": 90}
        },
    )

    name: Annotated[str, Field(max_length=128), _ONE_LINE] = Field(
        description="What the key is for: one line, for people.",
    )
    scope: Scope = Field(
        default=Scope.WRITE,
        description="`read`; `write` reads, too; `admin` also manages the project's keys; "
        "`operator` also manages projects and their quotas.",
    )
    expires_in_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="Default: it does not expire."
    )
    project: ProjectName | None = Field(
        default=None, description="Default: the caller's. Another one needs an operator's key."
    )


class ApiKey(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str = Field(examples=["key_01k3h4v5w6x7y8z9a0b1c2d3e4"])
    name: str
    project: str
    scope: Scope
    prefix: str = Field(
        description="How the key begins, to recognise it by.", examples=["rlk_5e1c9a07"]
    )
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="Accurate to the minute.")


class CreatedKey(ApiKey):
    key: str = Field(description="The key itself. It is shown this once, and stored nowhere.")
