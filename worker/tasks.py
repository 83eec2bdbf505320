"""`celery -A worker.tasks worker` runs the Celery worker: settings are read here, once."""

from jobs.settings import Settings
from worker.celery_worker import CeleryWorker
from worker.launchers.torchrun import Torchrun

app = CeleryWorker(Settings(), Torchrun()).app
