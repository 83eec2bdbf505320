"""A Celery worker whose jobs run the scripted trainer.

`celery -A tests.worker.scripted_worker worker` starts it;
SCRIPTED_STEP_SECONDS is how long a step takes.
"""

import os

from tests.worker import scripted_trainer
from worker.tasks import app

__all__ = ["app"]

scripted_trainer.install(float(os.environ.get("SCRIPTED_STEP_SECONDS", "0.01")))
