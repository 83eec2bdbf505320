"""Generations: requests to sample text from a job's model, with their results."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.body import MAX_SAFE_INTEGER, Body
from jobs.schemas.status import JobError
from relora_core.spec import TextPattern

Prompt = Annotated[
    str, Field(max_length=32_768), TextPattern(r"^[^\x00]*$", "text without NUL characters")
]


class NewGeneration(Body):
    """A request to sample text from a model of the job."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"prompt": "In the beginning", "max_new_tokens": 64, "temperature": 0.8}
        },
    )

    prompt: Prompt = Field(
        default="", description="The beginning of a document, which the model continues."
    )
    max_new_tokens: Annotated[int, Field(ge=1, le=2048)] = 64
    temperature: Annotated[float, Field(ge=0, le=5)] = Field(
        default=1.0, description="0 takes the likeliest token each time."
    )
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Sample only from the likeliest tokens that together have this probability.",
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=0, description="The same one gives the same text."
    )
    step: Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER)] | None = Field(
        default=None,
        description="The step of the model or checkpoint that writes; default the final model or, "
        "until there is one, the newest of either.",
    )


class GenerationStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OVER = frozenset({GenerationStatus.SUCCEEDED, GenerationStatus.FAILED})


class GeneratedText(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str = Field(description="Without the prompt.")
    prompt_tokens: int
    new_tokens: int
    finish_reason: Literal["end_of_text", "length"] = Field(
        description="`end_of_text`: the model ended its document."
    )


class Generation(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str = Field(examples=["gen_01k3h4v5w6x7y8z9a0b1c2d3e4"])
    job_id: str
    status: GenerationStatus
    step: int = Field(description="The step of the model that writes.")
    request: NewGeneration
    text: str = Field(description="The text as far as it has come, without the prompt.")
    result: GeneratedText | None = Field(description="Null until it has succeeded.")
    error: JobError | None = Field(description="Why it failed.")
    created_at: datetime
    finished_at: datetime | None
