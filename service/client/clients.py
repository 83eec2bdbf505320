"""The two clients, blocking and asynchronous. They share one description of the routes."""

from abc import ABC, abstractmethod
from typing import Generic, Self

from service.client.access import Keys, Projects, Secrets
from service.client.calls import AnyTransport
from service.client.datasets import Datasets
from service.client.installation import Presets, Recipes, Waiting, Workers
from service.client.jobs import Jobs
from service.client.sweeps import Sweeps
from service.client.transport import AsyncTransport, Connection, Transport
from service.client.webhooks import Webhooks

TIMEOUT_SECONDS = 30.0
RETRIES = 4


class _Groups(ABC, Generic[AnyTransport]):
    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        retries: int = RETRIES,
    ) -> None:
        connection = Connection.to(
            base_url, api_key=api_key, timeout_seconds=timeout_seconds, retries=retries
        )
        self._transport = transport = self._open(connection)
        self.jobs = Jobs(transport)
        self.sweeps = Sweeps(transport)
        self.datasets = Datasets(transport)
        self.presets = Presets(transport)
        self.recipes = Recipes(transport)
        self.queue = Waiting(transport)
        self.workers = Workers(transport)
        self.webhooks = Webhooks(transport)
        self.secrets = Secrets(transport)
        self.keys = Keys(transport)
        self.projects = Projects(transport)

    @staticmethod
    @abstractmethod
    def _open(connection: Connection) -> AnyTransport: ...


class Client(_Groups[Transport]):
    """A client of the service. Close it, or use it in a `with` statement.

    The default URL and API key come from RELORA_URL and RELORA_API_KEY. Its methods raise
    `ApiError` and `Unreachable`. A request that fails temporarily is sent again, up to `retries`
    times, if that is safe. It is safe for requests that create a job, because they have an
    Idempotency-Key.
    """

    @staticmethod
    def _open(connection: Connection) -> Transport:
        return Transport(connection)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncClient(_Groups[AsyncTransport]):
    """The `Client` for asyncio: await its methods, and iterate over its lists with `async for`."""

    @staticmethod
    def _open(connection: Connection) -> AsyncTransport:
        return AsyncTransport(connection)

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
