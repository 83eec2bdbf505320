"""`relora gc`: an operator's command, which works on the database and the storage themselves."""

from typing import Annotated

import typer
from rich.filesize import decimal

from service.cli.session import out


def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, only.")] = False,
) -> None:
    """Delete files in the storage that no job lists, as lost attempts leave them behind.

    It reads the settings of the service (RELORA_DATABASE_URL, RELORA_STORAGE_URL and so on). Files
    of deleted jobs stay, as `relora jobs delete` without --artifacts promised.
    """
    from jobs.backends import open_backends
    from jobs.garbage import collect_garbage
    from jobs.settings import Settings

    backends = open_backends(Settings())
    files = size = 0
    for found in collect_garbage(backends, dry_run=dry_run):
        out.print(
            f"{found.job_id}: {found.files} files, {decimal(found.size)}, "
            f"{found.unfinished} unfinished uploads"
        )
        files, size = files + found.files, size + found.size
    out.print(f"{'would delete' if dry_run else 'deleted'} {files} files, {decimal(size)}")
    backends.close()
