"""What a process of the service talks to, opened once by its composition root."""

from dataclasses import dataclass

from sqlalchemy import Engine

from jobs.database import open_engine
from jobs.keys.store import KeyStore
from jobs.models import Job
from jobs.projects import ProjectStore
from jobs.queue import JobQueue
from jobs.settings import Settings
from jobs.storage import Storage, job_storage
from jobs.store import JobStore
from jobs.wakeups import Wakeups


@dataclass(frozen=True)
class Backends:
    settings: Settings
    engine: Engine
    store: JobStore
    projects: ProjectStore
    keys: KeyStore
    queue: JobQueue
    wakeups: Wakeups

    def storage_for(self, job: Job) -> Storage:
        """Where the job's files are."""
        return job_storage(self.settings.storage_url, job)

    def close(self) -> None:
        self.engine.dispose()
        self.wakeups.close()


def open_backends(settings: Settings) -> Backends:
    """Connects to nothing yet, but raises `ValueError` for a database it does not know."""
    engine = open_engine(settings.database_url)
    return Backends(
        settings=settings,
        engine=engine,
        store=JobStore(engine),
        projects=ProjectStore(engine),
        keys=KeyStore(engine),
        queue=JobQueue(settings.broker_url),
        wakeups=Wakeups(settings.broker_url),
    )
