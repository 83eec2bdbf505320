"""The store of projects. A project sees nothing of other projects and has its own quotas."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, Row, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from jobs.database.engine import READ_ONLY
from jobs.database.tables.jobs import jobs, projects
from jobs.errors import ProjectExists, ProjectNotFound
from jobs.scheduling.quotas import quotas_from, usage
from jobs.schemas.projects import (
    NewProject,
    Project,
    ProjectChanges,
    ProjectReport,
    Quotas,
)


class ProjectStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reads = engine.execution_options(**READ_ONLY)

    def create(self, new: NewProject) -> Project:
        values = _columns(new.quotas) | {"name": new.name, "created_at": datetime.now(UTC)}
        statement = insert(projects).values(values).returning(projects)
        try:
            with self._engine.begin() as connection:
                return _project_from(connection.execute(statement).one())
        except IntegrityError:
            raise ProjectExists(new.name) from None

    def list(self, *, limit: int, after: str = "") -> list[Project]:
        """Return projects, sorted by name. `after` is the last name of the previous page."""
        query = select(projects).where(projects.c.name > after)
        with self._reads.begin() as connection:
            rows = connection.execute(query.order_by(projects.c.name).limit(limit))
            return [_project_from(row) for row in rows]

    def report(self, name: str) -> ProjectReport:
        query = select(projects).where(projects.c.name == name)
        with self._reads.begin() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise ProjectNotFound(name)
            used = usage(connection, name)
            total = func.coalesce(func.sum(jobs.c.gpu_seconds), 0.0)
            seconds = connection.scalar(select(total).where(jobs.c.project == name)) or 0.0
        hours = (seconds + row.gpu_seconds) / 3600
        return ProjectReport(**dict(_project_from(row)), usage=used, gpu_hours=hours)

    def change(self, name: str, changes: ProjectChanges) -> Project:
        """Change the quotas of a project.

        A quota below the current usage stops nothing that runs. It limits only later requests.
        """
        values = _columns(changes.quotas) or {"name": name}
        statement = update(projects).where(projects.c.name == name).values(values)
        with self._engine.begin() as connection:
            row = connection.execute(statement.returning(projects)).one_or_none()
        if row is None:
            raise ProjectNotFound(name)
        return _project_from(row)


def _columns(quotas: Quotas) -> dict[str, Any]:
    """Return the column values of the quotas that were given."""
    return {f"max_{name}": value for name, value in quotas.model_dump(exclude_unset=True).items()}


def _project_from(row: Row[*tuple[Any, ...]]) -> Project:
    return Project(name=row.name, quotas=quotas_from(row), created_at=row.created_at)
