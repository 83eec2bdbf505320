"""Wake-ups by Redis pub/sub for processes that wait for a change of a job.

A wake-up carries only the id of the job. A listener reads the store when it is woken, and polls it
from time to time anyway. So if Redis is down, everything is only slower.
"""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from functools import partial

from redis import Redis
from redis import asyncio as redis_asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.outages import FailureLog

logger = logging.getLogger(__name__)

_CHANNEL = "job:"
_RETRY_SECONDS = 1.0
_TIMEOUT_SECONDS = 2.0
_QUIET_SECONDS = 5.0  # the pause after a failure, so that an outage does not slow down publishers
_KEEPALIVE = {
    getattr(socket, name): value
    for name, value in {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}.items()
    if hasattr(socket, name)  # not every operating system has these names
}


class Wakeups:
    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._redis = Redis.from_url(
            broker_url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 1),  # reconnects if a restart of Redis closed the connection
        )
        self._publishing = FailureLog(logger, "publish wake-ups")
        self._listening = FailureLog(logger, "listen for wake-ups")
        self._quiet_until = 0.0

    def close(self) -> None:
        self._redis.close()

    def publish(self, job_id: str) -> None:
        """Wake the listeners of a job. Never raise an error.

        After a failure, calls return at once for some seconds, so that an outage does not slow
        down every caller.
        """
        if time.monotonic() < self._quiet_until:
            return
        if not self._publishing.guard(partial(self._redis.publish, _CHANNEL + job_id, b"")):
            self._quiet_until = time.monotonic() + _QUIET_SECONDS

    async def listen(self) -> AsyncIterator[str]:
        """Yield the ids of jobs that changed, forever. While Redis is down, yield nothing."""
        while True:
            try:
                async for job_id in self._subscription():
                    yield job_id
            except Exception as error:  # any error is fine, because the listeners also poll
                self._listening.failed(error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _subscription(self) -> AsyncIterator[str]:
        async with (
            redis_asyncio.Redis.from_url(
                self._url,
                socket_connect_timeout=_TIMEOUT_SECONDS,
                socket_keepalive=True,
                socket_keepalive_options=_KEEPALIVE,
            ) as client,
            client.pubsub() as pubsub,
        ):
            await pubsub.psubscribe(_CHANNEL + "*")
            self._listening.succeeded()
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    yield message["channel"].decode().removeprefix(_CHANNEL)
