"""The fields that all events have."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Phase = Literal["warm_start", "low_rank", "full_rank"]
Unit = Literal["tokens", "images"]


class Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    id: int | None = Field(default=None, description="Position in the job's log: 1, 2, ...")
    attempt: int | None = Field(default=None, description="The attempt that reported it.")
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))
