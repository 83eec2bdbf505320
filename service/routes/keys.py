"""API keys, which say who may use the service."""

from typing import Annotated, cast

from anyio import from_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from jobs.access.keys import KeyStore
from jobs.schemas.keys import ApiKey, CreatedKey, NewKey, Scope
from service.auth.access import Access, Caller, CallerDep, admins_only, check_scope
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.limits import MAX_NAME
from service.routes.dependencies import BackendsDep, Cursor, Id, PageLimit
from service.schemas.pages import Page
from service.schemas.responses import LOCATION

router = APIRouter(
    prefix="/v1/keys", tags=["keys"], dependencies=[Depends(admins_only)], route_class=CallerRoute
)


def _keys(backends: BackendsDep) -> KeyStore:
    return backends.keys


def _access(request: Request) -> Access:
    return cast(Access, request.app.state.access)


KeysDep = Annotated[KeyStore, Depends(_keys)]
AccessDep = Annotated[Access, Depends(_access)]


def _project(caller: Caller, asked: str | None) -> str:
    """Return the project to use: the caller's own or, for an operator, any.

    Raise `ScopeMissing` if another caller asks for another project.
    """
    if asked is None or asked == caller.project:
        return caller.project
    check_scope(caller, Scope.OPERATOR)
    return asked


def _key(key_id: str, caller: Caller, keys: KeyStore) -> ApiKey:
    everywhere = caller.scope.includes(Scope.OPERATOR)
    return keys.get(key_id, project=None if everywhere else caller.project)


@router.post(
    "",
    summary="Create an API key",
    status_code=201,
    responses={
        201: LOCATION,
        **documented(400, 404, 413, 422),
    },
)
def create_key(new: NewKey, caller: CallerDep, keys: KeysDep, response: Response) -> CreatedKey:
    """Create a key. Only this response shows it. Its scope cannot exceed the caller's scope."""
    project = _project(caller, new.project)
    check_scope(caller, new.scope)
    key = keys.create(new, project=project)
    response.headers["Location"] = f"/v1/keys/{key.id}"
    response.headers["Cache-Control"] = "no-store"
    return key


@router.get("", summary="List API keys", responses=documented(422))
def list_keys(
    caller: CallerDep,
    keys: KeysDep,
    *,
    project: Annotated[
        str | None,
        Query(
            max_length=MAX_NAME,
            description="Default: the caller's. Another one needs an operator's key.",
        ),
    ] = None,
    revoked: Annotated[bool, Query(description="Show those that were revoked, too.")] = False,
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Page[ApiKey]:
    """Return the keys of a project, the newest first. Expired keys are included."""
    found = keys.list(_project(caller, project), limit=limit + 1, before=cursor, revoked=revoked)
    return Page[ApiKey].of(found, limit)


@router.get("/{key_id}", summary="Show an API key", responses=documented(404))
def get_key(key_id: Id, caller: CallerDep, keys: KeysDep) -> ApiKey:
    """Return the name, scope and dates of a key, without the key itself."""
    return _key(key_id, caller, keys)


@router.delete("/{key_id}", summary="Revoke an API key", status_code=204, responses=documented(404))
def revoke_key(key_id: Id, caller: CallerDep, keys: KeysDep, access: AccessDep) -> None:
    """Revoke a key permanently. `GET /v1/keys?revoked=true` still shows it.

    This server refuses the key at once, other servers of the same service within five seconds.
    Streams of events and logs that were opened with the key end.
    """
    key = _key(key_id, caller, keys)
    check_scope(caller, key.scope)
    keys.revoke(key.id)
    from_thread.run_sync(access.forget_keys)
