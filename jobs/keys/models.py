"""An API key as a person asks for it and sees it, and what each scope allows."""

from datetime import UTC, datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from jobs.projects import ProjectName


class Scope(StrEnum):
    """What a key may do. Each may do all that those before it may."""

    READ = "read"  # look at all that its project has
    WRITE = "write"  # and submit, change, delete
    ADMIN = "admin"  # and make and revoke the project's keys
    OPERATOR = "operator"  # and, for the whole service, projects, their quotas and keys

    def includes(self, needed: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(needed)


class NewKey(BaseModel):
    """A key to make."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"example": {"name": "nightly sweep", "scope": "write"}},
    )

    name: str = Field(
        max_length=128,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="What it is for, in one line to people.",
    )
    scope: Scope = Field(
        default=Scope.WRITE,
        description="`read`; `write` reads, too; `admin` also manages the project's keys; "
        "`operator` also manages projects and their quotas.",
    )
    expires_at: AwareDatetime | None = Field(default=None, description="Default: never.")
    project: ProjectName | None = Field(
        default=None, description="Default: the caller's. Another one needs an operator's key."
    )

    @field_validator("expires_at")
    @classmethod
    def _to_come(cls, expires_at: datetime | None) -> datetime | None:
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise ValueError("is over already; leave it out for a key that does not expire")
        return expires_at


class ApiKey(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: str = Field(examples=["key_01k3h4v5w6x7y8z9a0b1c2d3e4"])
    name: str
    project: str
    scope: Scope
    prefix: str = Field(description="How the key begins, to tell it.", examples=["rlk_5e1c9a07"])
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")


class CreatedKey(ApiKey):
    key: str = Field(description="The key itself. It is shown this once, and stored nowhere.")
