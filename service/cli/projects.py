"""`relora projects`: the projects that share the service, and their quotas."""

from typing import Annotated

import typer

from service.cli.documents import parse_quotas
from service.cli.session import (
    URL,
    AsJson,
    Url,
    connected,
    group,
    out,
    print_all,
    print_json,
    show,
)
from service.cli.tables.access import project_table, quota_table

projects = group("Projects and their quotas; most of it needs an operator's key.")

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Its name.")]
QUOTA = typer.Option(
    help="queued_jobs, running_jobs, gpus or storage_bytes: gpus=8, storage_bytes=2TB, gpus=none."
)


@projects.command()
def create(
    project: Project,
    *,
    quota: Annotated[list[str] | None, QUOTA] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Make a project; `relora keys create NAME --project PROJECT` lets people in."""
    quotas = parse_quotas(quota or ())
    with connected(url) as client:
        made = client.projects.create(project, quotas=quotas)
    print_json(made) if json else out.print(f"made project {made.name}")


@projects.command("list")
def list_projects(
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many, by name.")] = 50,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """List the projects with their quotas."""
    with connected(url) as client:
        found = client.projects.list(limit=limit)
        print_all(found, project_table, json=json)


@projects.command()
def get(project: Project, *, url: Url = URL, json: AsJson = False) -> None:
    """Show what a project uses of its quotas."""
    with connected(url) as client:
        report = client.projects.get(project)
    print_json(report) if json else show(quota_table(report))


@projects.command()
def change(
    project: Project,
    *,
    quota: Annotated[list[str], QUOTA],
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Change quotas; those that are not named stay. Running jobs are not stopped."""
    quotas = parse_quotas(quota)
    with connected(url) as client:
        changed = client.projects.change(project, quotas=quotas)
    print_json(changed) if json else show(project_table([changed]))
