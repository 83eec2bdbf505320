"""The FastAPI application: its routes, middleware and background threads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from anyio import CapacityLimiter
from fastapi import APIRouter, Depends, FastAPI
from starlette.routing import BaseRoute

from jobs.backends import Backends
from jobs.locations.rules import Locations
from service.auth.access import Access, for_callers
from service.auth.key_policy import KeyPolicy
from service.auth.rate_limit import RateLimiter
from service.background.dispatcher import Dispatcher
from service.background.webhook_sender import WebhookSender
from service.http.dashboard import add_dashboard
from service.http.docs_page import add_docs
from service.http.errors import HANDLERS, documented
from service.http.middleware import BodyLimit, HeadAsGet, RequestId, Tus
from service.http.openapi import customize_openapi
from service.http.upload_buffer import SpoolSpace
from service.monitoring.prometheus import HttpLatency, Timing
from service.monitoring.readiness import Probes
from service.routes import (
    artifacts,
    datasets,
    estimates,
    events,
    forks,
    generations,
    health,
    jobs,
    keys,
    logs,
    metrics,
    presets,
    progress,
    projects,
    prometheus,
    queue,
    secrets,
    session,
    sweeps,
    webhooks,
)
from service.routes.dependencies import refuse_unknown_query
from service.streams.events import EventHub
from service.streams.states import StateHub

HASHED_AT_ONCE = 2  # complete uploads hashed at the same time; the others wait without a thread
MAX_BODY_BYTES = 1 << 19
BODY_SECONDS = 60.0  # time for a whole body to arrive; for an upload, time for its next bytes
FOR_CALLERS = (  # their routes are `CallerRoute`s, which check who may call them
    jobs.router,
    progress.router,
    estimates.router,
    forks.router,
    sweeps.router,
    queue.router,
    presets.router,
    events.router,
    artifacts.router,
    datasets.router,
    generations.router,
    metrics.router,
    logs.router,
    prometheus.router,
    secrets.router,
    webhooks.router,
    projects.router,
    keys.router,
    session.router,
)


def create_app(backends: Backends, policy: KeyPolicy = KeyPolicy.REQUIRED) -> FastAPI:
    """Return the application on these backends. The caller has to close the backends."""
    app = FastAPI(
        routes=_routes(),
        title="relora",
        summary="Pretrain language models with ReLoRA.",
        version="1",
        docs_url=None,  # FastAPI's pages load scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,  # behind a proxy that ends TLS it would redirect to http://
        lifespan=_lifespan,
        exception_handlers=HANDLERS,
    )
    app.state.backends = backends
    app.state.access = Access(backends, policy)
    app.state.locations = Locations.of(backends.settings, with_keys=policy is KeyPolicy.REQUIRED)
    app.state.limiter = RateLimiter(
        backends.settings.broker_url,
        per_minute=backends.settings.requests_per_minute,
        burst=backends.settings.request_burst,
    )
    app.state.hub = EventHub(backends.store)
    app.state.state_hub = StateHub(backends.states)
    app.state.probes = Probes(backends)
    app.state.dispatcher = Dispatcher(backends.outbox, backends.queue)
    app.state.webhook_sender = WebhookSender(backends)
    app.state.latency = HttpLatency()
    app.state.spool_space = SpoolSpace()
    app.state.hashing = CapacityLimiter(HASHED_AT_ONCE)
    app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES, seconds=BODY_SECONDS)
    app.add_middleware(Tus)
    app.add_middleware(RequestId)
    app.add_middleware(Timing, latency=app.state.latency)
    app.add_middleware(HeadAsGet)
    add_dashboard(app)
    add_docs(app)
    customize_openapi(app, policy)
    return app


@cache
def _routes() -> list[BaseRoute]:
    """Return the routes of the API. They hold nothing of one application.

    FastAPI takes 0.3 s to build them when the first request comes.
    """
    api = APIRouter(generate_unique_id_function=lambda route: route.name)
    for router in FOR_CALLERS:
        api.include_router(
            router,
            dependencies=[for_callers, Depends(refuse_unknown_query)],
            responses=documented(401, 403, 429),
        )
    api.include_router(health.router, dependencies=[Depends(refuse_unknown_query)])
    return api.routes


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.dispatcher.start()
    app.state.webhook_sender.start()
    waking = asyncio.create_task(_wake(app))
    yield
    waking.cancel()
    close_streams(app)
    app.state.probes.close()
    await app.state.limiter.close()
    app.state.webhook_sender.stop()
    app.state.dispatcher.stop()


def close_streams(app: FastAPI) -> None:
    """End the streams of events and states. Their clients connect to another server."""
    app.state.hub.close()
    app.state.state_hub.close()


async def _wake(app: FastAPI) -> None:
    async for job_id in app.state.backends.wakeups.listen():
        app.state.hub.wake(job_id)
        app.state.state_hub.wake()
