"""Rate limits: a token bucket for each caller in Valkey, shared by all API processes.

A full bucket holds `burst` requests and is refilled at the allowed rate. Valkey stores only the
time at which the bucket will be full (the generic cell rate algorithm). So an idle caller costs
nothing, and one script reads and writes the bucket atomically.
"""

import logging
import math
import time

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from jobs.errors import JobsError

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 0.25  # the longest time that a request waits for Valkey
_PAUSE_SECONDS = 5.0  # after an error of Valkey, there are no limits for so long
_KEY = "rate:"

# Return 0 if the request is allowed, or else the microseconds until one is. KEYS: the bucket.
# ARGV: microseconds to refill one request, requests in a full bucket.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local wait = full_at + interval - now - interval * burst
if wait > 0 then
  return wait
end
local lasts = math.ceil((full_at + interval - now) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', full_at + interval), 'PX', lasts)
return 0
"""


class RateLimited(JobsError):
    http_status = 429
    code = "rate_limited"

    def __init__(self, per_minute: int, retry_after: int) -> None:
        super().__init__(
            f"More than {per_minute} requests a minute; the next may be made in {retry_after} s."
        )
        self.retry_after = retry_after  # in whole seconds


class RateLimiter:
    def __init__(self, broker_url: str, *, per_minute: int, burst: int) -> None:
        """Create a limiter. If `per_minute` is 0, there is no limit, and Valkey is not used."""
        self._per_minute = per_minute
        self._burst = burst
        self._paused_until = 0.0
        self._redis = Redis.from_url(
            broker_url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._take = self._redis.register_script(_TAKE)

    async def close(self) -> None:
        await self._redis.aclose()

    async def take(self, caller: str) -> None:
        """Count a request. Raise `RateLimited` if there are too many; never without Valkey."""
        if not self._per_minute or time.monotonic() < self._paused_until:
            return
        interval = round(60_000_000 / self._per_minute)
        try:
            wait = await self._take(keys=[_KEY + caller], args=[interval, self._burst])
        except (RedisError, OSError) as error:
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            logger.warning("no rate limits for %g s: %s", _PAUSE_SECONDS, error)
            return
        if wait > 0:
            raise RateLimited(self._per_minute, math.ceil(wait / 1_000_000))
