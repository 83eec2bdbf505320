"""The server process: reads the settings, opens the parts, listens."""

import argparse
import gc
import resource
import socket
from contextlib import closing

import uvicorn
from fastapi import FastAPI

from jobs.backends import open_backends
from jobs.logs import log_to_stderr
from jobs.settings import Settings
from service.app import close_streams, create_app
from service.auth.key_policy import NoKeys, key_policy
from service.http.connection import Connection
from service.open_files import raise_limit

# Longer than load balancers keep an idle connection open (mostly 60 s). Otherwise a balancer may
# send a request into a connection that is being closed, and its caller gets a 502.
KEEP_ALIVE_SECONDS = 75
OTHER_FILES = 256  # open files for the database, the storage and uploads
GRACE_SECONDS = 10  # time for running requests to end when the server is asked to stop


class Server(uvicorn.Server):
    """A uvicorn server that ends the event streams when it is asked to stop.

    Their clients then connect to another server.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        close_streams(self._app)
        await super().shutdown(sockets)


def serve(settings: Settings, listener: socket.socket) -> None:
    """Answer requests on `listener` until SIGTERM or SIGINT.

    Raise `NoKeys` if others can reach the service and there is no API key.
    """
    with closing(open_backends(settings)) as backends:
        policy = key_policy(settings.authentication, listener.getsockname()[0], backends.keys)
        app = create_app(backends, policy)
        files = raise_limit()
        _settle()
        config = uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            limit_concurrency=most_connections(files),
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            log_config=uvicorn.config.LOGGING_CONFIG if settings.log_format == "text" else None,
        )
        Server(config, app).run(sockets=[listener])


def most_connections(files: int) -> int | None:
    """Return the limit of open connections, or None for no limit.

    It leaves open files for everything else. A request above the limit gets 503 at once.
    """
    return None if files == resource.RLIM_INFINITY else max(files - OTHER_FILES, files // 2)


def _settle() -> None:
    """Exclude the objects made at the start from garbage collection.

    They live until the process ends. Each full collection of them would delay all requests by
    about 0.1 s.
    """
    gc.collect()
    gc.freeze()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raise `OSError` if the address is in use."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    # Connections inherit TCP_NODELAY. Without it, the body of a response waits 40 ms for the
    # acknowledgement of its headers.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m service.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="a listening socket that the parent opened")
    arguments = parser.parse_args()
    settings = Settings()
    log_to_stderr(settings)
    opened = arguments.fd is not None
    listener = (
        socket.socket(fileno=arguments.fd) if opened else listen(arguments.host, arguments.port)
    )
    try:
        serve(settings, listener)
    except NoKeys as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
