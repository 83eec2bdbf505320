"""The readiness check: asks store, broker and storage in parallel, with a time limit."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from threading import Lock

from jobs.backends import Backends
from jobs.storage import Storage, open_storage

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0

OK = "ok"


class Probes:
    """The checks of the parts that the service needs.

    Each part has at most one running check, so a part that hangs blocks one thread and not one
    for each request.
    """

    def __init__(self, backends: Backends) -> None:
        @cache  # an S3 client is slow to create
        def storage() -> Storage:
            return open_storage(backends.settings.storage_url)

        self._pings: dict[str, Callable[[], None]] = {
            "store": lambda: backends.store.ping(),
            "broker": lambda: backends.queue.ping(),
            "storage": lambda: storage().ping(),
        }
        self._pool = ThreadPoolExecutor(len(self._pings), thread_name_prefix="readiness")
        self._lock = Lock()
        self._running: dict[str, Future[None]] = {}

    def check(self) -> dict[str, str]:
        """Return `ok` or the problem for each part."""
        with self._lock:
            for part, ping in self._pings.items():
                if part not in self._running or self._running[part].done():
                    self._running[part] = self._pool.submit(ping)
            checks = dict(self._running)
        wait(checks.values(), PATIENCE_SECONDS)
        return {part: _answer(part, check) for part, check in checks.items()}

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _answer(part: str, check: Future[None]) -> str:
    if not check.done():
        return f"down: no answer in {PATIENCE_SECONDS:g} s"
    if error := check.exception():
        logger.warning("the %s is down: %s", part, error)
        return f"down: {type(error).__name__}"
    return OK
