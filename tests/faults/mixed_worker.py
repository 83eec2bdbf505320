"""A Celery worker of the soak: jobs with a seed of `SCRIPTED_FROM` or more run the scripted
trainer, the others the real one."""

import json
from typing import Any

from jobs.settings import Settings
from tests.worker.scripted_trainer import ScriptedLauncher
from worker.attempt.workdir import Workdir
from worker.celery_worker import CeleryWorker
from worker.launchers.launcher import TrainerProcess
from worker.launchers.torchrun import Torchrun

SCRIPTED_FROM = 1_000_000


class MixedLauncher:
    def launch(self, workdir: Workdir, **options: Any) -> TrainerProcess:
        seed = json.loads(workdir.spec.read_text())["training"]["seed"]
        launcher = Torchrun() if seed < SCRIPTED_FROM else ScriptedLauncher(step_seconds=0.02)
        return launcher.launch(workdir, **options)


app = CeleryWorker(Settings(), MixedLauncher()).app
