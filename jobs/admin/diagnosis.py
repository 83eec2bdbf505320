"""Checks of each part that the service needs, with what to do where one fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from jobs.admin.migrate import is_migrated
from jobs.backends import Backends
from jobs.database.tables.jobs import DEFAULT_PROJECT
from jobs.schemas.workers import WorkerStatus
from jobs.secrets.vault import MAKE_A_KEY


@dataclass(frozen=True)
class Finding:
    """The state of one part."""

    part: str
    state: str  # what was found
    advice: str | None = None  # what to do; None: the part works


def diagnose(backends: Backends) -> Iterator[Finding]:
    """Check the parts one after the other. Without a database, skip what is in it."""
    database = _answering(
        "database",
        backends.store.ping,
        "Start it, or correct RELORA_DATABASE_URL; does a firewall or a NetworkPolicy refuse it?",
    )
    migrations = _migrations(backends) if database.advice is None else None
    yield database
    if migrations is not None:
        yield migrations
    yield _answering(
        "broker", backends.queue.ping, "Start Valkey, or correct RELORA_BROKER_URL; is it full?"
    )
    yield _answering(
        "storage",
        lambda: backends.own_storage().ping(),
        "Correct RELORA_STORAGE_URL, AWS_ENDPOINT_URL, and the credentials and what they may do.",
    )
    yield _secrets(backends)
    if migrations is not None and migrations.advice is None:
        yield _keys(backends)
        yield from _workers(backends)


def _answering(part: str, ping: Callable[[], object], advice: str) -> Finding:
    try:
        ping()
    except Exception as error:
        return Finding(part, str(error).partition("\n")[0] or type(error).__name__, advice)
    return Finding(part, "answers")


def _migrations(backends: Backends) -> Finding:
    if is_migrated(backends.settings.database_url):
        return Finding("tables", "have the version of this program, or a newer one")
    return Finding("tables", "are missing or old", "Run `python -m jobs.admin.migrate`.")


def _secrets(backends: Backends) -> Finding:
    if backends.settings.secret_keys is not None:
        return Finding("secrets", "can be encrypted")
    return Finding("secrets", "RELORA_SECRET_KEYS is not set", f"Make a key: {MAKE_A_KEY}")


def _keys(backends: Backends) -> Finding:
    if backends.keys.any_usable():
        return Finding("keys", "at least one can be used")
    if backends.settings.authentication != "required":
        return Finding("keys", "there is none; on loopback none is needed")
    create = "python -m jobs.admin.keys create --name admin --scope operator"
    return Finding("keys", "there is none, so all requests are refused", f"Run `{create}`.")


def _workers(backends: Backends) -> Iterator[Finding]:
    workers = backends.workers.list(project=DEFAULT_PROJECT)
    if not workers:
        yield Finding(
            "workers",
            "none is alive",
            "Start one: `celery --app worker.tasks worker`. If an autoscaler starts workers, "
            "this is no problem while no job is queued.",
        )
    for worker in workers:
        gpus = f"{len(worker.gpus)} GPUs" if worker.gpus else "no GPU: it trains on the CPU"
        if worker.status is WorkerStatus.UNHEALTHY:
            yield Finding(f"worker {worker.name}", str(worker.problem), "Repair its machine.")
        else:
            yield Finding(f"worker {worker.name}", f"{worker.status}, {gpus}")
