"""The webhooks of a project, and the log of their deliveries."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from jobs.admission import webhook_problems
from jobs.schemas.webhooks import Delivery, DeliveryStatus, Webhook, WebhookSpec
from relora_core.spec import TextPattern
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.routes.dependencies import (
    BackendsDep,
    Cursor,
    Id,
    PageLimit,
    ProjectDep,
    WebhookSenderDep,
)
from service.schemas.pages import Page
from service.schemas.responses import LOCATION

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=CallerRoute)


@router.post(
    "",
    summary="Create a webhook",
    status_code=201,
    responses={
        201: LOCATION,
        **documented(400, 409, 422),
    },
)
def create_webhook(
    spec: WebhookSpec, backends: BackendsDep, project: ProjectDep, response: Response
) -> Webhook:
    """Create a webhook: from now on, the events of all jobs of the project are sent to its URL."""
    if problems := webhook_problems(spec, backends, project=project):
        raise RequestValidationError(
            [
                {"type": "value_error", "loc": ("body", item.path), "msg": item.message}
                for item in problems
            ]
        )
    webhook = backends.webhooks.create(project, spec)
    response.headers["Location"] = f"/v1/webhooks/{webhook.id}"
    return webhook


@router.get("", summary="List webhooks", responses=documented(422))
def list_webhooks(
    backends: BackendsDep,
    project: ProjectDep,
    job_id: Annotated[
        Annotated[str, Field(max_length=64), TextPattern("^[a-z0-9_]{1,64}$", "the id of a job")]
        | None,
        Query(description="Only the webhooks in the spec of this job."),
    ] = None,
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Page[Webhook]:
    """Return the webhooks of the project or, with `job_id`, of one job, the newest first."""
    found = backends.webhooks.list(project, job_id=job_id, limit=limit + 1, before=cursor)
    return Page[Webhook].of(found, limit)


@router.get("/{webhook_id}", summary="Show a webhook", responses=documented(404))
def get_webhook(webhook_id: Id, backends: BackendsDep, project: ProjectDep) -> Webhook:
    return backends.webhooks.get(project, webhook_id)


@router.delete(
    "/{webhook_id}", summary="Delete a webhook", status_code=204, responses=documented(404)
)
def delete_webhook(webhook_id: Id, backends: BackendsDep, project: ProjectDep) -> None:
    """Delete a webhook and the log of its deliveries."""
    backends.webhooks.delete(project, webhook_id)


@router.get(
    "/{webhook_id}/deliveries",
    summary="List the deliveries of a webhook",
    responses=documented(404, 422),
)
def list_deliveries(
    webhook_id: Id,
    backends: BackendsDep,
    project: ProjectDep,
    status: DeliveryStatus | None = None,
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Page[Delivery]:
    """Return the deliveries that were sent or wait to be sent, the newest first.

    Finished deliveries are kept for 30 days.
    """
    found = backends.webhooks.deliveries(
        project, webhook_id, status=status, limit=limit + 1, before=cursor
    )
    return Page[Delivery].of(found, limit)


@router.post(
    "/{webhook_id}/test",
    summary="Send a test event to a webhook",
    status_code=202,
    responses=documented(404),
)
def test_webhook(
    webhook_id: Id, backends: BackendsDep, project: ProjectDep, webhook_sender: WebhookSenderDep
) -> Delivery:
    """Send the event `webhook.test`, which belongs to no job."""
    delivery = backends.webhooks.test(project, webhook_id)
    webhook_sender.run_soon()
    return delivery


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    summary="Send an event again",
    status_code=202,
    responses=documented(404),
)
def redeliver(
    webhook_id: Id,
    delivery_id: Id,
    backends: BackendsDep,
    project: ProjectDep,
    webhook_sender: WebhookSenderDep,
) -> Delivery:
    """Send an event again with the same delivery id. The receiver may have seen it already."""
    delivery = backends.webhooks.redeliver(project, webhook_id, delivery_id)
    webhook_sender.run_soon()
    return delivery
