"""`relora queue`, `relora workers`: the queued jobs and the workers."""

from typing import Annotated

import typer

from service.cli.session import URL, AsJson, Url, connected, out, print_all, print_json, show
from service.cli.tables.installation import queue_table, worker_table


def queue(
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the next first.")] = 50,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Show the jobs that wait, the next first, and how many there are of each status.

    `relora jobs change JOB --priority` moves one.
    """
    with connected(url) as client:
        waiting = client.queue.get(limit=limit)
    if json:
        print_json(waiting)
        return
    counts = [f"{count} {status}" for status, count in waiting.counts.items() if count]
    out.print(", ".join(counts) or "no jobs")
    if waiting.items:
        show(queue_table(waiting.items))


def workers(*, url: Url = URL, json: AsJson = False) -> None:
    """List the workers that gave a sign of life within the last minute."""
    with connected(url) as client:
        found = client.workers.list()
        print_all(found, worker_table, json=json)
