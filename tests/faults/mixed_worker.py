"""A Celery worker of the soak: jobs with a seed of `SCRIPTED_FROM` or more run the scripted
trainer, the others the real one."""

import json
from typing import Any
from unittest.mock import patch

from tests.worker.scripted_trainer import command as scripted
from worker.attempt.workdir import Workdir
from worker.launchers import torchrun
from worker.tasks import app

__all__ = ["app"]

SCRIPTED_FROM = 1_000_000
STEP_SECONDS = 0.02
_real = torchrun.command


def _command(workdir: Workdir, **options: Any) -> list[str]:
    seed = json.loads(workdir.spec.read_text())["training"]["seed"]
    if seed < SCRIPTED_FROM:
        return _real(workdir, **options)
    return scripted(workdir.root, STEP_SECONDS)


patch("worker.launchers.torchrun.command", _command).start()
