"""A Celery worker whose jobs run the scripted trainer.

`celery -A tests.worker.scripted_worker worker` starts it. The environment variable
SCRIPTED_STEP_SECONDS sets the duration of a step.
"""

import os

from jobs.settings import Settings
from tests.worker.scripted_trainer import ScriptedLauncher
from worker.celery_worker import CeleryWorker

_launcher = ScriptedLauncher(float(os.environ.get("SCRIPTED_STEP_SECONDS", "0.01")))
app = CeleryWorker(Settings(), _launcher).app
