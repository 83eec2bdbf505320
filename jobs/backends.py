"""The database, the broker and the stores of a process, opened once by its composition root."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine

from jobs.access.keys import KeyStore
from jobs.access.projects import ProjectStore
from jobs.broker.celery_queue import JobQueue
from jobs.broker.pubsub import Wakeups
from jobs.database.engine import open_engine
from jobs.datasets.store import DatasetStore
from jobs.errors import SecretNotFound, StorageError
from jobs.generations import GenerationStore
from jobs.metrics.store import MetricStore
from jobs.scheduling.outbox import Outbox
from jobs.scheduling.queue_order import WaitingJobs
from jobs.scheduling.workers import WorkerStore
from jobs.schemas.job import Job
from jobs.schemas.secret_names import S3_VARIABLES
from jobs.secrets.job_secrets import JobSecrets
from jobs.secrets.store import SecretStore
from jobs.secrets.vault import Vault
from jobs.settings import Settings
from jobs.storage import S3Credentials, Storage, job_storage, open_storage
from jobs.store.artifacts import JobFiles
from jobs.store.attempts import AttemptStore
from jobs.store.deleted_jobs import DeletedJob, DeletedJobStore
from jobs.store.jobs import JobStore
from jobs.store.states import StateStore
from jobs.store.stats import StatsStore
from jobs.store.trainer_logs import LogStore
from jobs.sweeps.store import SweepStore
from jobs.webhooks.store import WebhookStore


@dataclass(frozen=True)
class Backends:
    settings: Settings
    engine: Engine
    store: JobStore
    states: StateStore
    attempts: AttemptStore
    deleted_jobs: DeletedJobStore
    outbox: Outbox
    waiting: WaitingJobs
    workers: WorkerStore
    sweeps: SweepStore
    projects: ProjectStore
    keys: KeyStore
    files: JobFiles
    datasets: DatasetStore
    generations: GenerationStore
    metrics: MetricStore
    logs: LogStore
    stats: StatsStore
    queue: JobQueue
    wakeups: Wakeups
    secrets: SecretStore
    webhooks: WebhookStore

    def own_storage(self) -> Storage:
        """Open the storage of the service, which has the uploads."""
        return open_storage(self.settings.storage_url)

    def storage_for(self, job: Job | DeletedJob) -> Storage:
        """Open the storage that has the files of a job."""
        url = self.settings.storage_url
        return job_storage(url, job.id, job.spec, self._s3_credentials(job))

    def secrets_of(self, job: Job) -> JobSecrets:
        """Return the secrets that a job asks for, decrypted.

        Raise `SecretNotFound` if one is missing, and `SecretsUnavailable` if one cannot be
        decrypted.
        """
        return self._opened(job, job.spec.secrets)

    def _s3_credentials(self, job: Job | DeletedJob) -> S3Credentials | None:
        """Return the S3 credentials of a job, or None.

        They are None if the files are in the service's storage, or if the job has no S3 keys.
        """
        names = {name: job.spec.secrets[name] for name in S3_VARIABLES if name in job.spec.secrets}
        if job.spec.output_uri is None or not names:
            return None
        try:
            return self._opened(job, names).s3
        except SecretNotFound as error:
            raise StorageError(
                f"The storage of job {job.id} needs a secret that is gone. {error}"
            ) from error

    def _opened(self, job: Job | DeletedJob, names: Mapping[str, str]) -> JobSecrets:
        if not names:
            return JobSecrets({})
        values = self.secrets.reveal(self._project_of(job), set(names.values()))
        return JobSecrets({variable: values[name] for variable, name in names.items()})

    def _project_of(self, job: Job | DeletedJob) -> str:
        return job.project if isinstance(job, DeletedJob) else self.store.project_of(job.id)

    def close(self) -> None:
        self.engine.dispose()
        self.wakeups.close()


def open_backends(settings: Settings) -> Backends:
    """Open all backends of a process. Do not connect to any server yet.

    Raise `ValueError` for an invalid database URL or an invalid secret key.
    """
    engine = open_engine(settings.database_url)
    keys = settings.secret_keys
    return Backends(
        settings=settings,
        engine=engine,
        store=JobStore(engine),
        states=StateStore(engine),
        attempts=AttemptStore(engine),
        deleted_jobs=DeletedJobStore(engine),
        outbox=Outbox(engine),
        waiting=WaitingJobs(engine),
        workers=WorkerStore(engine),
        sweeps=SweepStore(engine),
        projects=ProjectStore(engine),
        keys=KeyStore(engine),
        files=JobFiles(engine),
        datasets=DatasetStore(engine),
        generations=GenerationStore(engine),
        metrics=MetricStore(engine),
        logs=LogStore(engine),
        stats=StatsStore(engine),
        queue=JobQueue(settings.broker_url),
        wakeups=Wakeups(settings.broker_url),
        secrets=SecretStore(engine, Vault(keys.get_secret_value() if keys else None)),
        webhooks=WebhookStore(engine),
    )
