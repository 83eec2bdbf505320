"""The state and the services that all parts of one attempt of a job share."""

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
    """The user or the worker asked to stop the attempt before its trainer started."""


@dataclass(frozen=True)
class Attempt:
    job: Job
    lease: Lease
    workdir: Workdir
    backends: Backends
    shutting_down: Callable[[], bool]  # whether the worker must shut down
    num_gpus: int = 0  # of the worker

    @property
    def number(self) -> int:
        return self.job.attempt

    @property
    def store(self) -> AttemptStore:
        """The store through which this attempt changes its job."""
        return self.backends.attempts

    @cached_property
    def project(self) -> str:
        return self.retry_while_leased(partial(self.backends.store.project_of, self.job.id))

    @cached_property
    def locations(self) -> Locations:
        """The rules for the locations that the spec may name.

        They are this worker's rules, and never weaker than those under which the job was accepted.
        """
        with_keys = self.retry_while_leased(partial(self.backends.store.with_keys, self.job.id))
        return Locations.of(self.backends.settings, with_keys=with_keys)

    @property
    def cache(self) -> Path:
        """The folder of data that this node keeps for later jobs of the project."""
        return self.backends.settings.cache_of(self.project)

    @cached_property
    def secrets(self) -> JobSecrets:
        """The secrets of the job, as they were when the attempt began.

        Raise `SecretNotFound` or `SecretsUnavailable`.
        """
        return self.retry_while_leased(partial(self.backends.secrets_of, self.job))

    def environ(self, *, num_processes: int = 1) -> dict[str, str]:
        """Return the environment variables for the processes that the attempt starts.

        They contain the secrets, so use them for nothing else.
        """
        return child_environment(
            self.backends.settings,
            project=self.project,
            secrets=self.secrets.environment,
            num_processes=num_processes,
        )

    @cached_property
    def storage(self) -> Storage:
        """The storage of the job. Raise `StorageError` if its URI is invalid."""
        url = self.backends.settings.storage_url
        return job_storage(url, self.job.id, self.job.spec, self.secrets.s3)

    def check_stop(self) -> None:
        """Raise `StopRequested` if the attempt must stop, `LeaseLost` if its lease is lost."""
        self.lease.check()
        if self.stop_requested():
            raise StopRequested

    def stop_requested(self) -> bool:
        return self.shutting_down() or self.lease.requested_action is not None

    def retry_while_leased(self, action: Callable[[], Result]) -> Result:
        """Retry `action` during an outage of the database or the storage.

        `outage_seconds` of the settings limits how long.
        """
        return retry_while_leased(
            action, lease=self.lease, seconds=self.backends.settings.outage_seconds
        )

    def warn(self, code: str, message: str) -> None:
        """Log a warning for operators, and store it as an event for the user."""
        message = self.secrets.masked(message)
        logger.warning("job %s: %s", self.job.id, message)
        self.retry_while_leased(partial(self.store.warn, self.job.id, self.number, code, message))

    def published(self, repo: str, url: str) -> None:
        """Store the event that the model is on the Hugging Face Hub."""
        self.retry_while_leased(
            partial(self.store.published, self.job.id, self.number, repo=repo, url=url)
        )
