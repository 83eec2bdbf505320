"""The HTTP service, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from jobs.backends import Backends
from jobs.wakeups import Wakeups
from service.dependencies import refuse_unknown_query
from service.dispatcher import Dispatcher
from service.errors import HANDLERS
from service.middleware import BodyLimit, RequestId
from service.openapi import describe_errors
from service.routes import artifacts, events, health, jobs
from service.stream import EventHub

MAX_BODY_BYTES = 1 << 20


def create_app(backends: Backends) -> FastAPI:
    """The service on these backends, which stay the caller's to close."""
    app = FastAPI(
        title="relora",
        summary="Pretrain language models with ReLoRA.",
        version="1",
        lifespan=_lifespan,
        exception_handlers=HANDLERS,
        dependencies=[Depends(refuse_unknown_query)],
    )
    app.state.backends = backends
    app.state.hub = EventHub(backends.store)
    app.state.dispatcher = Dispatcher(backends.store, backends.queue)
    app.add_middleware(BodyLimit, limit=MAX_BODY_BYTES)
    app.add_middleware(RequestId)
    for routes in (jobs, events, artifacts, health):
        app.include_router(routes.router)
    describe_errors(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.dispatcher.start()
    waking = asyncio.create_task(_wake(app.state.hub, app.state.backends.wakeups))
    yield
    waking.cancel()
    app.state.hub.close()
    app.state.dispatcher.stop()


async def _wake(hub: EventHub, wakeups: Wakeups) -> None:
    async for job_id in wakeups.listen():
        hub.wake(job_id)
