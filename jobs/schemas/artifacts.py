"""The checkpoints and models of a job, as the API describes them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from relora_core.workdir.files import checkpoint_path

ArtifactKind = Literal["checkpoint", "merged", "final", "log", "report", "profile"]
FolderKind = Literal["checkpoint", "merged", "final"]


class CheckpointEntry(BaseModel):
    """A checkpoint or a merged model that a job saved at a step."""

    model_config = ConfigDict(frozen=True)

    step: int = Field(examples=[5000])
    kind: FolderKind = Field(
        description="`checkpoint`: a run goes on from it. `merged`, `final`: a Hugging Face model."
    )
    path: str = Field(
        description="Below the job's output: the `prefix` of its files in the list of artifacts.",
        examples=[checkpoint_path(5000)],
    )
    files: int = Field(description="How many.", examples=[6])
    size: int = Field(description="Of all its files, in bytes.", examples=[536870912])
    sha256: str = Field(
        description="Of the lines that `sha256sum` prints for its files, sorted by name.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    created_at: datetime
    merged: bool = Field(description="Whether there is a merged model of this step.")
    metrics: dict[str, float] = Field(
        description="Of the last evaluation up to this step.",
        examples=[{"validation_loss": 3.21, "validation_perplexity": 24.8}],
    )
    metrics_step: int | None = Field(
        description="The step of that evaluation; null before the first.", examples=[5000]
    )

    @property
    def position(self) -> str:
        """The position of this entry in the list, as a cursor."""
        return f"{self.step}-{self.kind}"
