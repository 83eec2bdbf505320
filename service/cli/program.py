"""The program `relora` with all its commands."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from relora_core.spec.error_messages import in_words
from relora_core.suggestions import nearest
from service.cli.access import keys, secrets
from service.cli.catalogue import presets, recipes
from service.cli.datasets import datasets
from service.cli.doctor import doctor
from service.cli.files import files
from service.cli.garbage import gc
from service.cli.generations import generations
from service.cli.importing import import_config
from service.cli.installation import queue, workers
from service.cli.jobs import jobs
from service.cli.metrics import metrics
from service.cli.planning import estimate
from service.cli.projects import projects
from service.cli.session import REFUSED, extra, fail, out
from service.cli.sweeps import compare, sweeps
from service.cli.webhooks import webhooks

EXIT_CODES = (
    "Exit codes: 0 done; 1 the job did not succeed, or there is nothing; 2 the command was wrong, "
    "or the service refused it; 3 the service is unreachable or unavailable; 130 interrupted."
)

ABOUT = """Pretrain language models with ReLoRA.

RELORA_URL says where the service is, RELORA_API_KEY holds the key, if it asks for one.
"""


class Program(TyperGroup):
    """A group of commands that reports wrong options in the words of relora, not of pydantic."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override] # its Context is typer's
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if isinstance(error.__cause__, ValidationError):
                error.message = _in_our_words(error, error.__cause__)
            raise


def _in_our_words(error: typer.BadParameter, cause: ValidationError) -> str:
    """Return the problems of an option, and the choice that was probably meant."""
    problems = "; ".join(problem.message for problem in in_words(cause.errors(), {}))
    if error.param is None or error.ctx is None:
        return problems
    choices = [item.value for item in error.param.shell_complete(error.ctx, "")]
    close = nearest(str(cause.errors()[0]["input"]), choices)
    return f"{problems} Did you mean '{close}'?" if close else problems


app = typer.Typer(cls=Program, help=ABOUT, epilog=EXIT_CODES, no_args_is_help=True)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 # as typer calls it
    if wanted:
        out.print(f"relora {version('relora')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version_: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that no command has."""


@app.command()
def up(
    *,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    data_dir: Annotated[
        Path | None, typer.Option(help="Database, storage and logs; default ~/.relora.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(min=0, max=64, help="Each runs one job at a time, on all GPUs."),
    ] = 1,
) -> None:
    """Run the whole service on this machine, until Ctrl-C."""
    with extra("local"):
        from service.local.up import UpError, run_up

    try:
        run_up(host=host, port=port, data_dir=data_dir, workers=workers, console=out)
    except UpError as error:
        fail(str(error), REFUSED)


for more in (files, metrics, generations):
    jobs.add_typer(more)
app.add_typer(jobs, name="jobs")
app.command()(estimate)
app.command("import")(import_config)
app.add_typer(sweeps, name="sweep")
app.command()(compare)
app.command()(queue)
app.command()(workers)
app.command()(gc)
app.command()(doctor)
app.add_typer(recipes, name="recipes")
app.add_typer(presets, name="presets")
app.add_typer(datasets, name="datasets")
app.add_typer(webhooks, name="webhooks")
app.add_typer(secrets, name="secrets")
app.add_typer(keys, name="keys")
app.add_typer(projects, name="projects")


def main() -> None:
    app()
