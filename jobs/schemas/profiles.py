"""Profiles: traces of some steps of a running job."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.body import Body
from relora_core.workdir.files import MOST_PROFILED_STEPS


class NewProfile(Body):
    """A request to profile the next steps of a running job."""

    model_config = ConfigDict(json_schema_extra={"example": {"steps": 5}})

    steps: Annotated[int, Field(ge=1, le=MOST_PROFILED_STEPS)] = Field(
        default=5, description="How many. A trace of more steps is larger and slower to read."
    )


class ProfileRequest(BaseModel):
    """A profile that a worker was asked for. It is complete with the next event `train.profile`."""

    model_config = ConfigDict(frozen=True)

    steps: int
    event: int = Field(description="The id of the event `job.profile_requested`.", examples=[42])
