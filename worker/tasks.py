"""The Celery application that `celery -A worker.tasks worker` runs. It reads the settings once."""

from jobs.settings import Settings
from worker.celery_worker import CeleryWorker
from worker.launchers.torchrun import Torchrun

app = CeleryWorker(Settings(), Torchrun()).app
