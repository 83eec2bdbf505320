"""`relora sweep`, `relora compare`: submit and compare many jobs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from relora_core.counted import counted
from service.cli import budgets
from service.cli.comparison import compared
from service.cli.documents import parse_grid, read_spec
from service.cli.session import (
    URL,
    AsJson,
    Limit,
    Url,
    connected,
    group,
    jobs_named,
    out,
    print_all,
    print_json,
    show,
)
from service.cli.tables.jobs import comparison_table, sweep_table

sweeps = group("Many jobs from one spec and a grid of changes.")

SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help="The id of the sweep.")]


@sweeps.command()
def submit(
    spec: Annotated[Path, typer.Argument(help="The spec that all jobs begin with.")],
    *,
    grid: Annotated[
        list[str], typer.Option(help="A field and its values: method=full,lora,relora.")
    ],
    name: Annotated[str | None, typer.Option(help="Default: that of the spec.")] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Submit a job for each combination of the grid: all of them or, if one is wrong, none."""
    new = {"base": read_spec(spec), "grid": parse_grid(grid), "name": name}
    with connected(url) as client:
        sweep = client.sweeps.create(new)
    if json:
        print_json(sweep)
    else:
        out.print(
            Text.assemble("submitted ", (sweep.id, "bold"), f", {counted(len(sweep.jobs), 'job')}")
        )
        show(comparison_table(sweep.jobs))


@sweeps.command("list")
def list_sweeps(*, limit: Limit = 20, url: Url = URL, json: AsJson = False) -> None:
    """List the sweeps, the newest first."""
    with connected(url) as client:
        found = client.sweeps.list(limit=limit)
        print_all(found, sweep_table, json=json)


@sweeps.command()
def get(sweep_id: SweepId, *, url: Url = URL, json: AsJson = False) -> None:
    """Show a sweep's jobs side by side."""
    with connected(url) as client:
        sweep = client.sweeps.get(sweep_id)
    print_json(sweep) if json else show(comparison_table(sweep.jobs))


@sweeps.command()
def cancel(sweep_id: SweepId, *, url: Url = URL, json: AsJson = False) -> None:
    """Cancel a sweep's jobs."""
    with connected(url) as client:
        sweep = client.sweeps.cancel(sweep_id)
    print_json(sweep) if json else show(comparison_table(sweep.jobs))


def compare(
    job_ids: Annotated[
        list[str],
        typer.Argument(
            metavar="JOB...", help="Their ids, or how they begin, or @last.", callback=jobs_named
        ),
    ],
    *,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a file in Markdown: perplexity at equal tokens, FLOPs and time."),
    ] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Show jobs side by side: loss, perplexity, pace, memory."""
    with connected(url) as client:
        found = [compared(client, job_id) for job_id in job_ids]
        if report is not None:
            entries = [budgets.entry(client, job_id) for job_id in job_ids]
            report.write_text("\n".join(budgets.report(entries)) + "\n")
    print_all(found, comparison_table, json=json)
