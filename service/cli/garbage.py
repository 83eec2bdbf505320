"""`relora gc`: a command for operators, which uses the database and the storage directly."""

import json as json_format
from collections import Counter
from dataclasses import asdict
from itertools import chain
from typing import Annotated

import typer
from rich.filesize import decimal

from relora_core.counted import counted
from service.cli.session import FAILED, AsJson, err, extra, out


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, only.")] = False,
    deleted_jobs: Annotated[
        bool, typer.Option("--deleted-jobs", help="The files of deleted jobs, too.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Delete what nobody needs: in the storage, and on the disk of this machine.

    It reads the settings of the service (RELORA_DATABASE_URL, RELORA_STORAGE_URL and so on). It
    keeps files that may still be written to. The exit code is 1 if a storage could not be searched.
    """
    with extra("server"):
        from jobs.backends import open_backends
        from jobs.garbage.local_disk import collect_leftovers
        from jobs.garbage.storage import collect_garbage
        from jobs.settings import Settings

    backends = open_backends(Settings())
    problems: list[str] = []
    stored = collect_garbage(
        backends, dry_run=dry_run, deleted_jobs=deleted_jobs, passed_over=problems.append
    )
    files, sizes = Counter[str](), Counter[str]()
    for found in chain(stored, collect_leftovers(backends, dry_run=dry_run)):
        files[found.kind] += found.files
        sizes[found.kind] += found.size
        size = f"{counted(found.files, 'file')}, {decimal(found.size)}"
        line = json_format.dumps(asdict(found)) if json else f"{found.kind}, {found.where}: {size}"
        typer.echo(line)
    backends.close()
    for problem in problems:
        err.print(f"passed over: {problem}", soft_wrap=True)
    if not json:
        done = "would delete" if dry_run else "deleted"
        for kind in files:
            out.print(f"{kind}: {done} {counted(files[kind], 'file')}, {decimal(sizes[kind])}")
        out.print(f"{done} {counted(files.total(), 'file')}, {decimal(sizes.total())}")
    if problems:
        raise typer.Exit(FAILED)
