"""The metrics of a job, as the API shows them: curves and markers."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from jobs.schemas.metric_names import METRICS


class MarkerKind(StrEnum):
    RESTART = "restart"  # ReLoRA restart: merge, new low-rank factors, pruned optimizer state
    PHASE = "phase"  # the start of a warm start, low-rank or full-rank phase
    RESUME = "resume"  # another attempt resumed from this step
    REWIND = "rewind"  # after a divergence the run went back to this step
    LOSS_SPIKE = "loss_spike"
    CHECKPOINT = "checkpoint"


class Marker(BaseModel):
    """An event at a step that a chart marks on the curves."""

    step: int
    kind: MarkerKind
    attempt: int
    event: int = Field(description="The id of the event that tells more.")


class Means(BaseModel):
    """The means of consecutive points of a curve: mean i is of the points up to steps[i].

    Curves of one job have means at the same steps if they have points at the same steps. So do
    curves of different jobs that report at the same steps; if one of them is much longer, it has
    means at some of the steps of the other.
    """

    model_config = ConfigDict(frozen=True)

    steps: list[int]
    values: list[float | None] = Field(description="null: no value was finite.")
    counts: list[int] = Field(description="How many points were averaged: those that are finite.")


class Curve(BaseModel):
    """One metric over the steps. A step occurs at most once. Point i is (steps[i], values[i])."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(examples=["loss"])
    description: str
    num_points: int = Field(
        description="How many points are stored in the range; `steps` may have fewer."
    )
    steps: list[int]
    values: list[float | None] = Field(description="null: the value was not finite.")
    means: Means | None = Field(
        default=None,
        description="Of a curve with fewer points than are stored, to smooth it: its points are "
        "the lowest and the highest, whose mean is not that of the curve.",
    )


class Metrics(BaseModel):
    """The curves of a job, and the markers on them."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "curves": [
                    {
                        "name": "loss",
                        "description": METRICS["loss"].description,
                        "num_points": 4,
                        "steps": [10, 20, 30, 40],
                        "values": [7.91, 6.02, None, 5.43],
                    }
                ],
                "markers": [{"step": 30, "kind": "restart", "attempt": 1, "event": 17}],
            }
        }
    )

    curves: list[Curve]
    markers: list[Marker] = Field(description="In the order of their steps.")


class JobMetrics(Metrics):
    """The metrics of one of several jobs."""

    job_id: str


class MetricsOfJobs(BaseModel):
    """The metrics of several jobs, in the order in which they were asked for."""

    items: list[JobMetrics]
