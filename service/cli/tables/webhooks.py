"""Webhooks and their deliveries, as tables for a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from jobs.schemas.webhooks import Delivery, DeliveryStatus, Webhook
from service.cli.tables.table import Listing, details, line, moment

STYLES = {
    DeliveryStatus.PENDING: "yellow",
    DeliveryStatus.DELIVERED: "green",
    DeliveryStatus.FAILED: "red",
}
WELL = Text("well", style="green")


def webhook_table(items: Sequence[Webhook]) -> Listing:
    names = ("state", "events", "url")
    rows = Listing(*names, giving_way="events url", least="events")
    for item in items:
        state = Text("failing", style="red") if item.failing_since else WELL
        rows.add_row(item.id, state, line(", ".join(item.events)), line(item.url))
    return rows


def webhook_details(webhook: Webhook) -> Table:
    return details(
        [
            ("id", webhook.id),
            ("url", webhook.url),
            ("events", ", ".join(webhook.events)),
            ("of", webhook.job_id or "all jobs of the project"),
            ("secret", webhook.secret),
            ("state", _state(webhook)),
            ("created", moment(webhook.created_at)),
        ]
    )


def _state(webhook: Webhook) -> Text:
    if webhook.failing_since is None:
        return WELL
    return Text(f"failing since {moment(webhook.failing_since)}", style="red")


def delivery_table(items: Sequence[Delivery]) -> Listing:
    names = ("event", "status", "tries", "answer")
    rows = Listing(*names, giving_way="answer", least="tries")
    for item in items:
        rows.add_row(
            item.id,
            item.event_type,
            Text(item.status, style=STYLES[item.status]),
            str(item.attempts),
            _answer(item),
        )
    return rows


def _answer(delivery: Delivery) -> Text:
    """Return the status of the response to the last try, or its error."""
    if delivery.error:
        return Text(delivery.error)
    return Text("-" if delivery.response_status is None else str(delivery.response_status))
