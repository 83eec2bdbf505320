"""`relora jobs metrics`: the curves of a job as numbers."""

from typing import Annotated

import typer

from service.cli.session import REFUSED, URL, AsJson, JobId, Url, connected, fail, print_json, show
from service.cli.tables.results import metric_table

metrics = typer.Typer()


@metrics.command("metrics")
def show_metrics(  # noqa: PLR0913 # one parameter for each option
    job_id: JobId,
    *,
    name: Annotated[
        list[str] | None, typer.Option(help="Only these: loss, grad_norm, validation_loss, ...")
    ] = None,
    from_step: Annotated[int | None, typer.Option(min=0, help="The first step.")] = None,
    to_step: Annotated[int | None, typer.Option(min=0, help="The last step.")] = None,
    max_points: Annotated[int, typer.Option(help="Of each curve of --json.")] = 1000,
    csv: Annotated[bool, typer.Option("--csv", help="Every point, a row for each step.")] = False,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Show the least and the greatest value of each of a job's curves, and the steps.

    --csv and --json print the curves themselves.
    """
    if csv and (json or from_step is not None or to_step is not None):
        fail("--csv prints every point of the curves; beside it only --name is taken", REFUSED)
    names = name or ()
    with connected(url) as client:
        if csv:
            typer.echo(client.jobs.metrics_csv(job_id, names=names), nl=False)
            return
        found = client.jobs.metrics(
            job_id, names=names, max_points=max_points, from_step=from_step, to_step=to_step
        )
    print_json(found) if json else show(metric_table(found.curves))
