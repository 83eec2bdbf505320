"""What a job that is not over begins with stays: its spec's `job://` files are held for it.

The spec is the hold, so none can be left behind. Who queues a job and who lets go of files both
lock the row of the job whose files they are, so one of the two comes first and the other sees it.
"""

from sqlalchemy import ColumnElement, Connection, and_, select

from jobs.errors import ArtifactNotFound, JobInUse, JobNotFound
from jobs.job_uris import SCHEME, job_uri, parse, uris_of
from jobs.models import JobSpec
from jobs.status import FINAL
from jobs.tables import artifacts, jobs

SHOWN_JOBS = 5


def hold(connection: Connection, spec: JobSpec, *, project: str) -> None:
    """Before a job with this spec is queued; until the transaction ends, no file it names goes.

    Raises `JobNotFound` or `ArtifactNotFound` for files that are gone already.
    """
    named = {place for _, uri in uris_of(spec) if (place := parse(uri))}
    for job_id, folder in sorted(named):  # in one order, or two might wait for ever
        mine = and_(jobs.c.id == job_id, jobs.c.project == project)
        if connection.scalar(select(jobs.c.id).where(mine).with_for_update()) is None:
            raise JobNotFound(job_id)
        below = artifacts.c.path.startswith(f"{folder}/", autoescape=True)
        files = select(artifacts.c.path).where(artifacts.c.job_id == job_id, below)
        if connection.scalar(files.limit(1)) is None:
            raise ArtifactNotFound(job_id, folder)


def is_held(connection: Connection, job_id: str, folder: str) -> bool:
    """The caller has the lock of the job's row."""
    users = _users(job_id, f'"{job_uri(job_id, folder)}"')
    return connection.scalar(select(jobs.c.id).where(users).limit(1)) is not None


def check_not_held(connection: Connection, job_id: str) -> None:
    """Raise `JobInUse` if any of its files is held. The caller has the lock of the job's row."""
    users = _users(job_id, f'"{SCHEME}{job_id}/')
    query = select(jobs.c.id).where(users).order_by(jobs.c.id).limit(SHOWN_JOBS)
    if found := list(connection.scalars(query)):
        raise JobInUse(job_id, found)


def _users(job_id: str, uri: str) -> ColumnElement[bool]:
    """Of a job of the same project that is not over and whose spec, which is JSON, has this in it.

    Another project may write it, but its jobs can begin with no file of this one.
    """
    owner = jobs.alias("owner")
    project = select(owner.c.project).where(owner.c.id == job_id).scalar_subquery()
    names = jobs.c.spec.contains(uri, autoescape=True)
    return and_(jobs.c.project == project, jobs.c.status.not_in(FINAL), names)
