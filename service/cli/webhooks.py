"""`relora webhooks`: other servers that get the events of jobs."""

from typing import Annotated

import typer
from rich.text import Text

from jobs.schemas.webhooks import DeliveryStatus
from service.cli.session import (
    URL,
    AsJson,
    Limit,
    Url,
    connected,
    group,
    job_named,
    out,
    print_all,
    print_gone,
    print_json,
    show,
)
from service.cli.tables.webhooks import delivery_table, webhook_details, webhook_table

webhooks = group("Other servers that are told of what happens to jobs.")

WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The id of the webhook.")]


@webhooks.command()
def create(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="https://host/path.")],
    *,
    secret: Annotated[str, typer.Option(help="The secret to sign with; `relora secrets set`.")],
    event: Annotated[
        list[str] | None, typer.Option(help="Of this type, or job.*, train.*, *.")
    ] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Send the events of all jobs of the project to a server, from now on; job.* by default."""
    spec = {"url": to, "secret": secret, **({"events": event} if event else {})}
    with connected(url) as client:
        webhook = client.webhooks.create(spec)
    if json:
        print_json(webhook)
    else:
        out.print(Text.assemble("made ", (webhook.id, "bold"), f" for {', '.join(webhook.events)}"))


@webhooks.command("list")
def list_webhooks(
    *,
    job: Annotated[
        str | None,
        typer.Option(
            metavar="JOB", help="Only the webhooks in the spec of this job.", callback=job_named
        ),
    ] = None,
    limit: Limit = 50,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """List the project's webhooks, the newest first."""
    with connected(url) as client:
        found = client.webhooks.list(job_id=job, limit=limit)
        print_all(found, webhook_table, json=json)


@webhooks.command()
def get(webhook_id: WebhookId, *, url: Url = URL, json: AsJson = False) -> None:
    """Show a webhook."""
    with connected(url) as client:
        webhook = client.webhooks.get(webhook_id)
    print_json(webhook) if json else show(webhook_details(webhook))


@webhooks.command()
def deliveries(
    webhook_id: WebhookId,
    *,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only these.")] = None,
    limit: Limit = 20,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """List what was sent or waits to be sent, the newest first, and what the server answered."""
    with connected(url) as client:
        found = client.webhooks.deliveries(webhook_id, status=status, limit=limit)
        print_all(found, delivery_table, json=json)


@webhooks.command("test")
def send_test(webhook_id: WebhookId, *, url: Url = URL, json: AsJson = False) -> None:
    """Send an event `webhook.test`; `deliveries` shows what came of it."""
    with connected(url) as client:
        delivery = client.webhooks.test(webhook_id)
    print_json(delivery) if json else show(delivery_table([delivery]))


@webhooks.command()
def redeliver(
    webhook_id: WebhookId,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="As in `deliveries`.")],
    *,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Send an event once more, under the same id."""
    with connected(url) as client:
        delivery = client.webhooks.redeliver(webhook_id, delivery_id)
    print_json(delivery) if json else show(delivery_table([delivery]))


@webhooks.command()
def delete(webhook_id: WebhookId, *, url: Url = URL, json: AsJson = False) -> None:
    """Delete a webhook, and the log of what was sent."""
    with connected(url) as client:
        client.webhooks.delete(webhook_id)
    print_gone(webhook_id, json=json)
