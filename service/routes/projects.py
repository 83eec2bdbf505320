"""Projects and their quotas."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from jobs.access.projects import ProjectStore
from jobs.errors import ProjectNotFound
from jobs.schemas.keys import Scope
from jobs.schemas.projects import NewProject, Project, ProjectChanges, ProjectReport
from service.auth.access import CallerDep, operators_only
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.limits import MAX_NAME
from service.routes.dependencies import CURSOR, BackendsDep, Id, PageLimit
from service.schemas.pages import Page
from service.schemas.responses import LOCATION

router = APIRouter(prefix="/v1/projects", tags=["projects"], route_class=CallerRoute)


def _projects(backends: BackendsDep) -> ProjectStore:
    return backends.projects


ProjectsDep = Annotated[ProjectStore, Depends(_projects)]
for_operators = [Depends(operators_only)]


@router.post(
    "",
    summary="Create a project",
    status_code=201,
    dependencies=for_operators,
    responses={
        201: LOCATION,
        **documented(400, 409, 413, 422),
    },
)
def create_project(new: NewProject, projects: ProjectsDep, response: Response) -> Project:
    """Create a project. This and its first API key need an operator's key."""
    project = projects.create(new)
    response.headers["Location"] = f"/v1/projects/{project.name}"
    return project


@router.get("", summary="List projects", dependencies=for_operators, responses=documented(422))
def list_projects(
    projects: ProjectsDep,
    limit: PageLimit = 50,
    cursor: Annotated[str, Query(max_length=MAX_NAME, description=CURSOR)] = "",
) -> Page[Project]:
    """Return all projects, sorted by name. This needs an operator's key."""
    found = projects.list(limit=limit + 1, after=cursor)
    return Page[Project].of(found, limit, cursor="name")


@router.get(
    "/{project}", summary="Show the quotas and usage of a project", responses=documented(404)
)
def get_project(project: Id, caller: CallerDep, projects: ProjectsDep) -> ProjectReport:
    """Return the quotas of a project and how much of them is used.

    An operator can see any project, all others only their own.
    """
    if project != caller.project and not caller.scope.includes(Scope.OPERATOR):
        raise ProjectNotFound(project)
    return projects.report(project)


@router.patch(
    "/{project}",
    summary="Change the quotas of a project",
    dependencies=for_operators,
    responses=documented(400, 404, 413, 422),
)
def change_project(project: Id, changes: ProjectChanges, projects: ProjectsDep) -> Project:
    """Change quotas. Quotas that you leave out keep their values. This needs an operator's key.

    A quota below the current usage stops no running job. It limits only new requests.
    """
    return projects.change(project, changes)
