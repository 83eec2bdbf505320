"""A secret as the API shows it: its name, never its value."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class Secret(BaseModel):
    """The name and the times of a secret. Only jobs get its value."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        json_schema_extra={
            "example": {
                "name": "my-hf-token",
                "created_at": "2026-11-24T09:00:00Z",
                "updated_at": "2026-11-24T09:00:00Z",
            }
        },
    )

    name: str
    created_at: datetime
    updated_at: datetime = Field(description="When its value was last replaced.")
