"""A Celery worker of the soak: jobs with a seed of `SCRIPTED_FROM` or more run the scripted
trainer, the others the real one.

The worker checks a GPU too, as if its node had one. The check passes until there is the file
`GPU_LOST`; then torch looks for the GPU, and finds none. The memory of the node is what the file
`MEMINFO` says, if there is one. Both files are in the data folder of the node.
"""

import json
from functools import cached_property
from typing import Any

from jobs.settings import Settings
from tests.worker.scripted_trainer import ScriptedLauncher
from worker.attempt.workdir import Workdir
from worker.celery_worker import CeleryWorker
from worker.launchers.launcher import TrainerProcess
from worker.launchers.torchrun import Torchrun
from worker.node import health

SCRIPTED_FROM = 1_000_000
GPU_LOST, MEMINFO = "gpu-lost", "meminfo"


class MixedLauncher:
    def launch(self, workdir: Workdir, **options: Any) -> TrainerProcess:
        seed = json.loads(workdir.spec.read_text())["training"]["seed"]
        launcher = Torchrun() if seed < SCRIPTED_FROM else ScriptedLauncher(step_seconds=0.02)
        return launcher.launch(workdir, **options)


class MixedWorker(CeleryWorker):
    @cached_property
    def _health(self) -> health.Health:
        lost = str(self._settings.data_dir / GPU_LOST)
        unless_lost = f"import os, sys\nif not os.path.exists({lost!r}):\n    sys.exit()\n"
        health._TRY_GPUS = unless_lost + health._TRY_GPUS
        health._MEMINFO = self._settings.data_dir / MEMINFO
        return health.Health(self._settings, num_gpus=1)


app = MixedWorker(Settings(), MixedLauncher()).app
