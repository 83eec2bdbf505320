"""A Celery worker whose trainers stop themselves in the first attempt of a job."""

from jobs.settings import Settings
from tests.faults.held import HeldTorchrun
from worker.celery_worker import CeleryWorker

app = CeleryWorker(Settings(), HeldTorchrun()).app
