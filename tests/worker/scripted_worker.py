"""A Celery worker whose jobs run the scripted trainer.

`celery -A tests.worker.scripted_worker worker` starts it;
SCRIPTED_STEP_SECONDS is how long a step takes.
"""

import os

from jobs.settings import Settings
from tests.worker.scripted_trainer import ScriptedLauncher
from worker.celery_worker import CeleryWorker

_launcher = ScriptedLauncher(float(os.environ.get("SCRIPTED_STEP_SECONDS", "0.01")))
app = CeleryWorker(Settings(), _launcher).app
