"""`relora jobs generate`, `relora jobs generations`: text of a job's model."""

from typing import Annotated

import typer
from rich.text import Text

from jobs.schemas.generations import GenerationStatus
from service.cli.session import (
    FAILED,
    URL,
    AsJson,
    JobId,
    Limit,
    Url,
    connected,
    fail,
    out,
    print_json,
    print_lines,
    show,
)
from service.cli.tables.results import generation_table

generations = typer.Typer()


@generations.command()
def generate(  # noqa: PLR0913 # what a generation has
    job_id: JobId,
    prompt: Annotated[
        str, typer.Argument(help="The beginning of a text, which the model continues.")
    ] = "",
    *,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 64,
    temperature: Annotated[float, typer.Option(min=0, help="0: the likeliest token.")] = 1.0,
    top_p: Annotated[
        float,
        typer.Option(
            help="Nucleus sampling: keep the most likely tokens up to this total probability."
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same one gives the same text.")] = 0,
    step: Annotated[
        int | None, typer.Option(help="The step of the model; default the last.")
    ] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Let a job's model write, also while it trains."""
    new = {
        "prompt": prompt,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "step": step,
    }
    with connected(url) as client:
        done = client.jobs.generate(job_id, new)
    if json:
        print_json(done)
    elif done.result:
        out.print(Text.assemble((prompt, "bold"), done.result.text), soft_wrap=True)
    if done.status is GenerationStatus.FAILED:
        fail(done.error.message if done.error else "it failed", FAILED)


@generations.command("generations")
def list_generations(
    job_id: JobId, *, limit: Limit = 20, url: Url = URL, json: AsJson = False
) -> None:
    """List what a job's models wrote, the newest first."""
    with connected(url) as client:
        found = client.jobs.generations(job_id, limit=limit)
        print_lines(found) if json else show(generation_table(list(found)))
