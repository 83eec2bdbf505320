"""The service in a process of its own."""

import logging
import resource
import time

import httpx

from jobs.settings import Settings
from service.server import listen, serve
from tests.fixtures.forking import FORKING, preload

preload("service.server")


def _serve(settings: Settings, port: int, open_files: int | None) -> None:
    """Run a server that prints nothing."""
    if open_files is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, hard))
    logging.disable()
    with listen("127.0.0.1", port) as listener:
        serve(settings, listener)


class Service:
    """A service in a process of its own, on one port, that is killed and comes back.

    It starts with `open_files` as the soft limit of open files.
    """

    def __init__(self, settings: Settings, open_files: int | None = None) -> None:
        with listen("127.0.0.1", 0) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = (settings, self.port, open_files)

    def start(self) -> None:
        self._process = FORKING.Process(target=_serve, args=self._arguments)
        self._process.start()
        while not self._answers():
            assert self._process.is_alive()
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").is_success
        except httpx.TransportError:
            return False
