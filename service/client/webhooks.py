"""Webhooks: the methods for the routes below /v1/webhooks."""

from collections.abc import Mapping
from typing import Any

from jobs.schemas.webhooks import Delivery, DeliveryStatus, Webhook, WebhookSpec
from service.client.calls import AnyTransport, Group, endpoint, iterable_endpoint
from service.client.requests import Listing, Request, json_body, model, nothing, url_path
from service.schemas.pages import Page


class Webhooks(Group[AnyTransport]):
    @endpoint
    def create(self, spec: WebhookSpec | Mapping[str, Any]) -> Request[Webhook]:
        """Create a webhook: from now on, the events of all jobs of the project go to its URL."""
        return Request("POST", url_path("webhooks"), model(Webhook), json=json_body(spec))

    @iterable_endpoint
    def list(self, *, job_id: str | None = None, limit: int | None = None) -> Listing[Webhook]:
        """Iterate over the webhooks of the project or, with `job_id`, of one job.

        The newest come first.
        """
        return Listing(
            url_path("webhooks"), model(Page[Webhook]), query={"job_id": job_id}, limit=limit
        )

    @endpoint
    def get(self, webhook_id: str) -> Request[Webhook]:
        return Request("GET", url_path("webhooks", webhook_id), model(Webhook))

    @endpoint
    def delete(self, webhook_id: str) -> Request[None]:
        """Delete a webhook and the log of its deliveries."""
        return Request("DELETE", url_path("webhooks", webhook_id), nothing)

    @iterable_endpoint
    def deliveries(
        self, webhook_id: str, *, status: DeliveryStatus | None = None, limit: int | None = None
    ) -> Listing[Delivery]:
        """Iterate over the deliveries that were sent or wait to be sent, the newest first."""
        path = url_path("webhooks", webhook_id, "deliveries")
        return Listing(path, model(Page[Delivery]), query={"status": status}, limit=limit)

    @endpoint
    def test(self, webhook_id: str) -> Request[Delivery]:
        """Send the event `webhook.test`, which belongs to no job."""
        return Request("POST", url_path("webhooks", webhook_id, "test"), model(Delivery))

    @endpoint
    def redeliver(self, webhook_id: str, delivery_id: str) -> Request[Delivery]:
        """Send an event again with the same delivery id."""
        path = url_path("webhooks", webhook_id, "deliveries", delivery_id, "redeliver")
        return Request("POST", path, model(Delivery))
