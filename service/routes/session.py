"""The session of a browser: an API key, kept in a cookie that no script can read."""

from fastapi import APIRouter, Request, Response

from service.auth import session_cookie
from service.auth.access import Caller, CallerDep, CredentialsDep
from service.http.caller_route import ReaderRoute
from service.schemas.responses import Session

router = APIRouter(prefix="/v1/session", tags=["session"], route_class=ReaderRoute)


def _session(caller: Caller) -> Session:
    return Session(project=caller.project, scope=caller.scope, key_id=caller.key_id)


@router.get("", summary="Show who is calling")
def get_session(caller: CallerDep) -> Session:
    """Return the project and the scope of the caller."""
    return _session(caller)


@router.post("", summary="Sign in a browser")
def sign_in(
    caller: CallerDep, credentials: CredentialsDep, request: Request, response: Response
) -> Session:
    """Keep the key of the `Authorization` header in a cookie of the browser (`HttpOnly`).

    The browser then sends it by itself, until it is closed. What such a request may change is
    checked for its origin, too. The cookie has `Secure` if the page came over TLS.
    """
    if credentials is not None and caller.key_id is not None:
        session_cookie.write(request, response, credentials.credentials)
    return _session(caller)


@router.delete("", summary="Sign out a browser", status_code=204)
def sign_out(request: Request, response: Response) -> None:
    """Make the browser forget its key."""
    session_cookie.delete(request, response)
