"""`relora doctor`: a command for operators, which checks each part of the service."""

import json as json_format
from dataclasses import asdict

import typer

from service.cli.session import FAILED, AsJson, extra, out


def doctor(*, json: AsJson = False) -> None:
    """Check each part of the service, and say what to do where one does not work.

    It reads the settings of the service (RELORA_DATABASE_URL, RELORA_STORAGE_URL and so on). The
    exit code is 1 if a part does not work.
    """
    with extra("server"):
        from jobs.admin.diagnosis import diagnose
        from jobs.backends import open_backends
        from jobs.settings import Settings

    backends = open_backends(Settings())
    failed = False
    for finding in diagnose(backends):
        failed = failed or finding.advice is not None
        if json:
            typer.echo(json_format.dumps(asdict(finding)))
            continue
        mark = "ok" if finding.advice is None else "PROBLEM"
        out.print(f"{mark:7} {finding.part}: {finding.state}", soft_wrap=True, markup=False)
        if finding.advice is not None:
            out.print(f"{'':7} {finding.advice}", soft_wrap=True, markup=False)
    backends.close()
    if failed:
        raise typer.Exit(FAILED)
