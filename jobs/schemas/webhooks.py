"""Webhooks and their deliveries, as people write and read them."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from jobs.schemas.event_patterns import RENAMED, EventPattern
from jobs.schemas.secret_names import SecretReference
from jobs.schemas.server_url import split_url
from relora_core.spec import Spec, SpecWarning


def _check_url(url: str) -> str:
    split_url(url)
    return url


class WebhookSpec(Spec):
    """The URL of a webhook, the events to send to it, and the secret that signs the requests."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "url": "https://example.com/relora",
                "events": ["job.*", "train.eval"],
                "secret": "webhook-key",
            }
        }
    )

    url: Annotated[str, Field(max_length=2048), AfterValidator(_check_url)] = Field(
        description="Where events are sent: https://host/path or http://host/path."
    )
    events: list[EventPattern] = Field(
        default=["job.*"],
        min_length=1,
        max_length=50,
        description="Types of the events to send, or the patterns job.*, train.* and *. "
        "train.step is sent only if it is named.",
    )
    secret: SecretReference = Field(description="The name of the secret that signs requests.")


def warn_of_old_names(webhooks: Iterable[Any]) -> Iterator[SpecWarning]:
    """Yield a warning for each event type with an old name in the webhooks of a spec as written."""
    for place, webhook in enumerate(webhooks):
        for name in webhook.get("events", ()) if isinstance(webhook, Mapping) else ():
            if name in RENAMED:
                yield SpecWarning(
                    f"webhooks.{place}.events",
                    f"has {name}, which is called {RENAMED[name]} now",
                    code="renamed",
                )


class Webhook(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str = Field(examples=["whk_01k3h4v5w6x7y8z9a0b1c2d3e4"])
    job_id: str | None = Field(description="The job whose spec has it; null: all of the project.")
    url: str
    events: list[str]
    secret: str = Field(description="The name of the secret that signs.")
    created_at: datetime
    failing_since: datetime | None = Field(
        description="When the first failure since the last accepted request came."
    )


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # no further attempt is made


class Delivery(BaseModel):
    """The delivery of an event to a webhook, with the result of its last attempt."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(
        description="The webhook-id of its requests.",
        examples=["dlv_01k3h4v5w6x7y8z9a0b1c2d3e4"],
    )
    webhook_id: str
    job_id: str | None
    event_type: str
    event_id: int | None = Field(description="Its number in the log of the job.")
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    response_status: int | None = Field(description="Of the last attempt that was answered.")
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: datetime
    finished_at: datetime | None
