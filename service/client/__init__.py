"""The service from Python, with the models that the service itself speaks."""

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
