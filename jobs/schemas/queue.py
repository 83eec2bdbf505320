"""The queue, as the API shows it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class QueuedJob(BaseModel):
    """A queued job, with its position in the queue."""

    model_config = ConfigDict(frozen=True)

    position: int = Field(description="In the queue of all projects; 1 is next.")
    job_id: str
    name: str
    priority: int
    waiting_for_quota: bool = Field(description="It waits for room in its project's quotas.")
    unschedulable_reason: str | None = Field(
        default=None, description="Why no worker that there is can run it."
    )
    created_at: datetime

    @property
    def cursor(self) -> str:
        return f"{self.priority}.{self.job_id}"
