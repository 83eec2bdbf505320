"""`python -m worker.reaper`: returns jobs of lost workers to the queue and sends messages."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from threading import Thread
from types import FrameType

from jobs.backends import Backends, open_backends
from jobs.broker.celery_queue import dispatch
from jobs.datasets.content import remove_deleted
from jobs.garbage.deleted_jobs import delete_due_files
from jobs.garbage.local_disk import collect_leftovers
from jobs.garbage.storage import collect_garbage
from jobs.liveness import show_life
from jobs.logs import log_to_stderr
from jobs.outages import FailureLog
from jobs.settings import Settings

logger = logging.getLogger(__name__)

EVERY_SECONDS = 2.0
DELETE_SECONDS = 10.0
COLLECT_SECONDS = 3600.0
RESEND_AFTER_SECONDS = 60.0  # for a queued job that has no message in the broker


def reap(backends: Backends, *, resend_after_seconds: float = RESEND_AFTER_SECONDS) -> None:
    """Do one round. Several reapers may run at the same time: each step is one transaction."""
    for job_id in backends.attempts.expire_leases():
        logger.warning("job %s: its worker is lost", job_id)
        backends.wakeups.publish(job_id)
    backends.outbox.notify_where_there_is_room()
    dispatch(backends.outbox, backends.queue)
    for dataset_id in backends.datasets.expire_uploads(backends.settings.upload_expires_seconds):
        logger.info("dataset %s: its upload was given up", dataset_id)
    for generation_id in backends.generations.expire():
        logger.warning("generation %s: nobody ended it in time", generation_id)
    for gpus, gpu_class in backends.outbox.overdue(resend_after_seconds):
        if backends.queue.depth(gpus=gpus, gpu_class=gpu_class) == 0:
            backends.outbox.resend(resend_after_seconds, gpus=gpus, gpu_class=gpu_class)


def delete_stored_files(backends: Backends) -> None:
    """Delete the files of deleted datasets and jobs from the storage, in one round."""
    delete_due_files(backends)
    remove_deleted(backends.datasets, backends.own_storage)


def _collect_garbage(backends: Backends) -> None:
    since = datetime.now(UTC) - timedelta(days=1)
    for found in chain(
        collect_garbage(backends, dry_run=False, changed_since=since),
        collect_leftovers(backends, dry_run=False),
    ):
        logger.info("deleted: %s, %s", found.kind, found.where)


def repeat(task: str, work: Callable[[], None], pause: float) -> None:
    """Call `work` for ever, with `pause` seconds between two calls. An error does not end it."""
    failures = FailureLog(logger, task)
    while True:
        failures.guard(work)
        time.sleep(pause)


def main() -> None:
    settings = Settings()
    log_to_stderr(settings)
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    backends = open_backends(settings)
    logger.info("returning lost jobs every %g s", EVERY_SECONDS)
    for task, work, pause in (  # in threads: a slow storage must not delay lost jobs
        ("delete the files of deleted jobs and datasets", delete_stored_files, DELETE_SECONDS),
        ("collect garbage", _collect_garbage, COLLECT_SECONDS),
    ):
        Thread(target=repeat, args=(task, partial(work, backends), pause), daemon=True).start()
    resend_after_seconds = 0.0  # the broker may have just started without any messages
    failures = FailureLog(logger, "return lost jobs to the queue")
    while True:
        if failures.guard(partial(reap, backends, resend_after_seconds=resend_after_seconds)):
            resend_after_seconds = RESEND_AFTER_SECONDS
        show_life(backends.settings, "reaper")
        time.sleep(EVERY_SECONDS)


def _exit(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler
    """Exit at once. An interrupted transaction is rolled back, and the next run repeats it."""
    sys.exit(0)


if __name__ == "__main__":
    main()
