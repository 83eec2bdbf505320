"""The service in a thread, and what a trainer would report to it."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from jobs.backends import Backends
from service.app import create_app
from service.auth.key_policy import key_policy
from service.http.connection import Connection
from service.server import KEEP_ALIVE_SECONDS, Server, listen


@contextmanager
def serving(backends: Backends, port: int = 0) -> Iterator[str]:
    """The service in a thread, as `service.server` runs it."""
    policy = key_policy(backends.settings.authentication, "127.0.0.1", backends.keys)
    app = create_app(backends, policy)
    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, app)
    with listen("127.0.0.1", port) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
