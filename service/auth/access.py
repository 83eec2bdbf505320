"""The access check before every route: the API key, its scope, and the project of the job."""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from jobs.access.key_secret import digest_of, looks_like_a_key
from jobs.backends import Backends
from jobs.database.tables.jobs import DEFAULT_PROJECT
from jobs.errors import Forbidden, JobNotFound, JobsError
from jobs.outages import DATABASE_OUTAGES
from jobs.schemas.keys import ApiKey, Scope
from service.auth import session_cookie
from service.auth.key_policy import KeyPolicy
from service.auth.rate_limit import RateLimiter
from service.auth.ttl_cache import TTLCache

KEY_SECONDS = 5.0  # time to cache a key, so a revocation on another server takes effect this late
REMEMBERED_KEYS = 10_000
REMEMBERED_JOBS = 20_000
READING = {"GET", "HEAD", "OPTIONS"}

BEARER = HTTPBearer(
    scheme_name="ApiKey",
    bearerFormat="rlk_...",
    description="An API key. Its scope allows `read` GET and HEAD, `write` all else, `admin` also "
    "the keys of its project, `operator` also projects. It sees its own project alone.",
    auto_error=False,
)


@dataclass(frozen=True)
class Caller:
    """The caller: the owner of a key or, if no key is needed, anybody who reaches the service."""

    project: str
    scope: Scope
    key_id: str | None = None


@dataclass(frozen=True)
class Presented:
    """What a request presents as its key, and whether its browser added that by itself."""

    secret: str | None
    by_cookie: bool = False


StaysAllowed = Callable[[], Awaitable[bool]]
"""Whether the caller of a stream that has begun would be let in still."""

ANYBODY = Caller(DEFAULT_PROJECT, Scope.OPERATOR)


class NotAuthenticated(JobsError):
    """No key was given although one is needed, or the key is not valid."""

    http_status = 401


class KeyRequired(NotAuthenticated):
    code = "key_required"

    def __init__(self, policy: KeyPolicy, host: str) -> None:
        super().__init__(_why_a_key(policy, host))


class KeyUnknown(NotAuthenticated):
    code = "key_unknown"

    def __init__(self) -> None:
        super().__init__("There is no such API key.")


class KeyRevoked(NotAuthenticated):
    code = "key_revoked"

    def __init__(self, key: ApiKey) -> None:
        super().__init__(f"The key {key.prefix}... was revoked.")


class KeyExpired(NotAuthenticated):
    code = "key_expired"

    def __init__(self, key: ApiKey) -> None:
        super().__init__(f"The key {key.prefix}... has expired.")


class ScopeMissing(Forbidden):
    code = "scope_missing"

    def __init__(self, has: Scope, needed: Scope) -> None:
        super().__init__(
            f"This needs a key with the scope `{needed.value}`; yours has `{has.value}`."
        )
        self.needed = needed


class ForeignOrigin(Forbidden):
    code = "foreign_origin"

    def __init__(self, origin: str | None) -> None:
        super().__init__(
            f"A page of another site ({origin or 'unknown'}) may change nothing here without an "
            "API key of its own."
        )


class Access:
    """The check of API keys and of the projects of jobs.

    It caches lookups, so that a request rarely needs another read of the database. Only the
    thread of the event loop may use it.
    """

    def __init__(self, backends: Backends, policy: KeyPolicy) -> None:
        self._policy = policy
        self._keys = backends.keys
        self._store = backends.store
        self._known = _no_keys()
        self._projects: TTLCache[str, str] = TTLCache(
            REMEMBERED_JOBS
        )  # the project of a job is fixed

    async def caller(self, secret: str | None, *, host: str) -> Caller:
        """Return the caller of a request. `host` is its Host header.

        Raise `NotAuthenticated` if the key is missing or not valid.
        """
        if self._policy is KeyPolicy.IGNORED:
            return ANYBODY
        if secret is not None:
            key = await self._key(secret)
            _check_usable(key)
            return Caller(key.project, key.scope, key.id)
        if self._policy is KeyPolicy.OPTIONAL and _names_this_machine(host):
            return ANYBODY
        raise KeyRequired(self._policy, host)

    async def _key(self, secret: str) -> ApiKey:
        digest = digest_of(secret)
        if key := self._known.get(digest):
            return key
        known = self._known  # if a key is revoked during this lookup, the result is not cached
        found = await run_in_threadpool(self._look_up, secret)
        if found is None:
            raise KeyUnknown
        known.put(digest, found)
        return found

    def forget_keys(self) -> None:
        """Empty the cache of keys, because a key was revoked."""
        self._known = _no_keys()

    def _look_up(self, secret: str) -> ApiKey | None:
        key = self._keys.find(secret) if looks_like_a_key(secret) else None
        if key is not None:
            self._keys.note_use(key)
        return key

    async def check_job(self, job_id: str, caller: Caller) -> None:
        """Raise `JobNotFound` if the job does not exist or belongs to another project."""
        project = self._projects.get(job_id)
        if project is None:
            project = await run_in_threadpool(self._store.project_of, job_id)
            self._projects.put(job_id, project)
        if project != caller.project:
            raise JobNotFound(job_id)


def _no_keys() -> TTLCache[str, ApiKey]:
    return TTLCache(REMEMBERED_KEYS, KEY_SECONDS)


def _names_this_machine(host: str) -> bool:
    """Return True if the Host header names this machine.

    This stops DNS rebinding: a web page whose name resolves to 127.0.0.1 still sends its own name.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _why_a_key(policy: KeyPolicy, host: str) -> str:
    needed = "This needs an API key, as the header `Authorization: Bearer rlk_...`."
    if policy is KeyPolicy.OPTIONAL:
        return f"{needed} Without one, ask at localhost or 127.0.0.1; this was sent to {host!r}."
    return needed


def _check_usable(key: ApiKey) -> None:
    if key.revoked_at is not None:
        raise KeyRevoked(key)
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        raise KeyExpired(key)


async def authorize(request: Request, to_change: Scope = Scope.WRITE) -> Caller:
    """Check the key, rate limit, scope, origin and job of a request, and return its caller.

    `to_change` is the scope of unsafe requests. The function is asynchronous, so that it needs no
    thread if the lookups are cached.
    """
    access = cast(Access, request.app.state.access)
    limiter = cast(RateLimiter, request.app.state.limiter)
    address = f"address:{request.client.host if request.client else ''}"
    presented = await _presented(request)
    try:
        caller = await access.caller(presented.secret, host=request.headers.get("Host", ""))
    except NotAuthenticated:
        await limiter.take(address)  # limits attempts to guess a key
        raise
    await limiter.take(caller.key_id or address)
    if request.method in READING:
        check_scope(caller, Scope.READ)
    else:
        check_scope(caller, to_change)
        _check_origin(request, caller, presented)
    if (job_id := request.path_params.get("job_id")) is not None:
        await access.check_job(job_id, caller)
    return caller


async def _presented(request: Request) -> Presented:
    """Return the key of the header or, if there is none, of the cookie."""
    if (credentials := await BEARER(request)) is not None:
        return Presented(credentials.credentials)
    cookie = session_cookie.read(request)
    return Presented(cookie, by_cookie=cookie is not None)


def _check_origin(request: Request, caller: Caller, presented: Presented) -> None:
    """Raise `ForeignOrigin` if a page of another site sends the request (CSRF).

    Only browsers send these headers. A browser adds a cookie by itself, but no header with a key,
    so a request with that is allowed, and one with a cookie has to say where it comes from.
    """
    if caller.key_id is not None and not presented.by_cookie:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        foreign = site not in {"same-origin", "none"}
    elif origin is not None:
        foreign = origin.partition("://")[2] != request.headers.get("Host", "")
    else:
        foreign = presented.by_cookie
    if foreign:
        raise ForeignOrigin(origin)


CredentialsDep = Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]


async def _stays_allowed(request: Request, _: CredentialsDep) -> StaysAllowed:
    access = cast(Access, request.app.state.access)
    secret = (await _presented(request)).secret
    host = request.headers.get("Host", "")

    async def ask() -> bool:
        try:
            await access.caller(secret, host=host)
        except NotAuthenticated:
            return False
        except DATABASE_OUTAGES:  # an outage ends no stream; the key is checked again later
            return True
        return True

    return ask


async def _caller(request: Request, _: CredentialsDep) -> Caller:
    """Return the caller that `CallerRoute` authorized."""
    return cast(Caller, request.state.caller)


StaysAllowedDep = Annotated[StaysAllowed, Depends(_stays_allowed)]


def check_scope(caller: Caller, needed: Scope) -> None:
    if not caller.scope.includes(needed):
        raise ScopeMissing(caller.scope, needed)


CallerDep = Annotated[Caller, Depends(_caller)]
for_callers = Depends(_caller)  # for a router: makes OpenAPI say that its routes need a key


def admins_only(caller: CallerDep) -> None:
    check_scope(caller, Scope.ADMIN)


def operators_only(caller: CallerDep) -> None:
    check_scope(caller, Scope.OPERATOR)
