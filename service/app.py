"""The HTTP service, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from jobs.backends import Backends
from jobs.locations import Locations
from jobs.wakeups import Wakeups
from service.access import Access, authorize
from service.deliverer import Deliverer
from service.dependencies import refuse_unknown_query
from service.dispatcher import Dispatcher
from service.docs_page import add_docs_page
from service.errors import HANDLERS, documented
from service.key_policy import KeyPolicy
from service.middleware import BodyLimit, RequestId
from service.openapi import describe_truly
from service.prometheus import HttpLatency, Timing
from service.rate_limit import RateLimiter
from service.readiness import Probes
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
    sweeps,
    webhooks,
)
from service.stream import EventHub

MAX_BODY_BYTES = 1 << 20
FOR_CALLERS = (  # who may call them is checked before each
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
)


def create_app(backends: Backends, policy: KeyPolicy = KeyPolicy.REQUIRED) -> FastAPI:
    """The service on these backends, which stay the caller's to close."""
    app = FastAPI(
        title="relora",
        summary="Pretrain language models with ReLoRA.",
        version="1",
        docs_url=None,  # FastAPI's pages load from other hosts
        redoc_url=None,
        lifespan=_lifespan,
        exception_handlers=HANDLERS,
        generate_unique_id_function=lambda route: route.name,
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
    app.state.probes = Probes(backends)
    app.state.dispatcher = Dispatcher(backends.outbox, backends.queue)
    app.state.deliverer = Deliverer(backends)
    app.state.latency = HttpLatency()
    app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES)
    app.add_middleware(RequestId)
    app.add_middleware(Timing, latency=app.state.latency)
    app.state.routers = (*FOR_CALLERS, health.router)
    for router in FOR_CALLERS:
        app.include_router(
            router,
            dependencies=[Depends(authorize), Depends(refuse_unknown_query)],
            responses=documented(401, 403, 429),
        )
    app.include_router(health.router, dependencies=[Depends(refuse_unknown_query)])
    add_docs_page(app)
    describe_truly(app, policy)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.dispatcher.start()
    app.state.deliverer.start()
    waking = asyncio.create_task(_wake(app.state.hub, app.state.backends.wakeups))
    yield
    waking.cancel()
    app.state.hub.close()
    app.state.probes.close()
    await app.state.limiter.close()
    app.state.deliverer.stop()
    app.state.dispatcher.stop()


async def _wake(hub: EventHub, wakeups: Wakeups) -> None:
    async for job_id in wakeups.listen():
        hub.wake(job_id)
