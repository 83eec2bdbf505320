"""The Python client of the service. It uses the same pydantic models as the service itself."""

from service.client.clients import AsyncClient, Client
from service.client.errors import ApiError, CorruptDownload, InvalidConnection, Unreachable

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "CorruptDownload",
    "InvalidConnection",
    "Unreachable",
]
