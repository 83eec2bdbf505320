"""What all parts of one attempt at a job need."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

from jobs.backends import Backends
from jobs.locations.rules import Locations
from jobs.schemas.job import Job
from jobs.secrets.job_secrets import JobSecrets
from jobs.storage import Storage, job_storage
from jobs.store.attempts import AttemptStore
from worker.attempt.environment import child_environment
from worker.attempt.lease import Lease
from worker.attempt.retry import retry_while_leased
from worker.attempt.workdir import Workdir

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class StopRequested(Exception):
    """A person or the worker wants the attempt to end before its trainer started."""


@dataclass(frozen=True)
class Attempt:
    job: Job
    lease: Lease
    workdir: Workdir
    backends: Backends
    shutting_down: Callable[[], bool]  # whether the worker must go
    num_gpus: int = 0  # of the worker

    @property
    def number(self) -> int:
        return self.job.attempt

    @property
    def store(self) -> AttemptStore:
        """What this attempt may write of its job."""
        return self.backends.attempts

    @cached_property
    def project(self) -> str:
        return self.retry_while_leased(partial(self.backends.store.project_of, self.job.id))

    @cached_property
    def locations(self) -> Locations:
        """The rules of this worker, and never laxer ones than the job was accepted under."""
        with_keys = self.retry_while_leased(partial(self.backends.store.with_keys, self.job.id))
        return Locations.of(self.backends.settings, with_keys=with_keys)

    @property
    def cache(self) -> Path:
        """What this node keeps for later jobs of the project."""
        return self.backends.settings.cache_of(self.project)

    @cached_property
    def secrets(self) -> JobSecrets:
        """As they are when the attempt begins. Raises `SecretNotFound`, `SecretsUnavailable`."""
        return self.retry_while_leased(partial(self.backends.secrets_of, self.job))

    def environ(self, *, num_processes: int = 1) -> dict[str, str]:
        """Of the processes that the attempt starts; nothing else may hold the secrets."""
        return child_environment(
            self.backends.settings,
            project=self.project,
            secrets=self.secrets.environment,
            num_processes=num_processes,
        )

    @cached_property
    def storage(self) -> Storage:
        """Raises `StorageError` for a place that there cannot be."""
        url = self.backends.settings.storage_url
        return job_storage(url, self.job.id, self.job.spec, self.secrets.s3)

    def check_stop(self) -> None:
        """Raise `StopRequested` if the job need not be made ready any further."""
        self.lease.check()
        if self.stop_requested():
            raise StopRequested

    def stop_requested(self) -> bool:
        return self.shutting_down() or self.lease.requested_action is not None

    def retry_while_leased(self, action: Callable[[], Result]) -> Result:
        """Wait out an outage of the store or the storage, as long as the settings say."""
        return retry_while_leased(
            action, lease=self.lease, seconds=self.backends.settings.outage_seconds
        )

    def warn(self, code: str, message: str) -> None:
        """Say something to operators and, as an event, to the person whose job it is."""
        message = self.secrets.masked(message)
        logger.warning("job %s: %s", self.job.id, message)
        self.retry_while_leased(partial(self.store.warn, self.job.id, self.number, code, message))

    def published(self, repo: str, url: str) -> None:
        """Say that the model is on the Hub."""
        self.retry_while_leased(
            partial(self.store.published, self.job.id, self.number, repo=repo, url=url)
        )
