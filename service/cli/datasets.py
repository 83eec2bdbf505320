"""`relora datasets`: files to train on."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from relora_core.spec.error_messages import in_words
from service.cli.files import transfer
from service.cli.session import (
    REFUSED,
    URL,
    AsJson,
    Limit,
    Url,
    connected,
    fail,
    group,
    out,
    print_all,
    print_gone,
    print_json,
    show,
)
from service.cli.tables.files import dataset_details, dataset_table

DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="Its id.")]
datasets = group("Files to train on: uploaded once, used by many jobs.")


@datasets.command()
def upload(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The file.")],
    *,
    name: Annotated[str | None, typer.Option(help="Default: that of the file.")] = None,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Upload a file and print what a spec says as data.train.uri.

    An interrupted upload continues where it stopped.
    """
    with connected(url) as client, transfer() as progress:
        task = progress.add_task(file.name, total=file.stat().st_size)
        try:
            dataset = client.datasets.upload(
                file, name=name, listener=lambda there: progress.update(task, completed=there)
            )
        except ValidationError as error:
            fail("; ".join(problem.message for problem in in_words(error.errors(), {})), REFUSED)
    print_json(dataset) if json else out.print(dataset.uri)


@datasets.command("list")
def list_datasets(*, limit: Limit = 50, url: Url = URL, json: AsJson = False) -> None:
    """List the datasets, the newest first."""
    with connected(url) as client:
        found = client.datasets.list(limit=limit)
        print_all(found, dataset_table, json=json)


@datasets.command()
def get(dataset_id: DatasetId, *, url: Url = URL, json: AsJson = False) -> None:
    """Show a dataset, and what a spec says as data.train.uri."""
    with connected(url) as client:
        dataset = client.datasets.get(dataset_id)
    print_json(dataset) if json else show(dataset_details(dataset))


@datasets.command()
def delete(dataset_id: DatasetId, *, url: Url = URL, json: AsJson = False) -> None:
    """Delete a dataset that no job needs any more."""
    with connected(url) as client:
        client.datasets.delete(dataset_id)
    print_gone(dataset_id, json=json)
