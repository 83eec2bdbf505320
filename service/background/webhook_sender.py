"""The thread that sends pending deliveries to webhooks."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from jobs.backends import Backends
from jobs.errors import SecretNotFound, SecretsUnavailable
from jobs.locations.rules import Locations
from jobs.outages import log_failure
from jobs.webhooks.sending import LEASE_SECONDS, DeliveryQueue, DueDelivery, Endpoint, Outcome
from jobs.webhooks.signature import InvalidSigningSecret, signed_headers, signing_keys
from service.background.periodic import PeriodicTask
from service.background.safe_post import post

logger = logging.getLogger(__name__)

AT_ONCE = 8  # webhooks that are served at the same time
CLEAN_EVERY_SECONDS = 3600.0


class WebhookSender(PeriodicTask):
    """The task that sends pending deliveries.

    Several processes may run one: only one process at a time holds the lease of a webhook.
    """

    def __init__(self, backends: Backends, *, every_seconds: float = 1.0) -> None:
        super().__init__(
            "webhook_sender", self._deliver, every_seconds=every_seconds, task="look for webhooks"
        )
        self._backends = backends
        self._queue = DeliveryQueue(backends.engine)
        self._only_public = Locations.of(backends.settings).only_public_webhooks
        self._busy = 0
        self._lock = Lock()
        self._clean_at = 0.0
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")

    def stop(self) -> None:
        """Stop after the deliveries that are being sent are done."""
        super().stop()
        self._pool.shutdown()

    def _deliver(self) -> None:
        self._clean()
        for endpoint in self._queue.claim(self._free_places()):
            self._occupy(+1)
            self._pool.submit(self._serve, endpoint)

    def _free_places(self) -> int:
        with self._lock:
            return 0 if self.stopping else AT_ONCE - self._busy

    def _occupy(self, places: int) -> None:
        with self._lock:
            self._busy += places

    def _clean(self) -> None:
        if time.monotonic() >= self._clean_at:
            self._queue.delete_old()
            self._clean_at = time.monotonic() + CLEAN_EVERY_SECONDS

    def _serve(self, endpoint: Endpoint) -> None:
        """Send due deliveries to one webhook, for at most half of the lease. Then release it."""
        until = time.monotonic() + LEASE_SECONDS / 2
        try:
            while not self.stopping and time.monotonic() < until:
                if (delivery := self._queue.due(endpoint)) is None:
                    break
                outcome = self._send(endpoint, delivery)
                self._queue.settle(endpoint, delivery, outcome)
                if outcome.status is None and outcome.error:  # the server cannot be reached
                    break
            self._queue.release(endpoint)
        except Exception as error:  # the lease expires, and the delivery is sent again
            log_failure(logger, f"send to webhook {endpoint.id}", error)
        finally:
            self._occupy(-1)
            self.run_soon()

    def _send(self, endpoint: Endpoint, delivery: DueDelivery) -> Outcome:
        try:
            values = self._backends.secrets.reveal(endpoint.project, {endpoint.secret})
            keys = signing_keys(values[endpoint.secret])
        except (SecretNotFound, SecretsUnavailable) as error:
            return Outcome(error=f"it cannot be signed: {error}")
        except InvalidSigningSecret as error:
            return Outcome(error=f"it cannot be signed with secret {endpoint.secret!r}: {error}")
        body = delivery.body.encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "relora",
            **signed_headers(body, keys, message_id=delivery.id, timestamp=int(time.time())),
        }
        return post(endpoint.url, body, headers, only_public=self._only_public)
