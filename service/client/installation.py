"""Presets, recipes, workers and the queue of the service."""

from jobs.schemas.queue import QueuedJob
from jobs.schemas.workers import Worker
from service.client.calls import AnyTransport, Group, endpoint, iterable_endpoint
from service.client.requests import Listing, Request, model, url_path
from service.schemas.pages import Page
from service.schemas.presets import Preset, PresetConfig, RecipeEntry
from service.schemas.responses import Queue


class Presets(Group[AnyTransport]):
    @iterable_endpoint
    def list(self) -> Listing[Preset]:
        """Iterate over the model presets, with their sizes."""
        return Listing(url_path("presets"), model(Page[Preset]), page_size=None)

    @endpoint
    def get(self, name: str) -> Request[PresetConfig]:
        """Return a model preset with its Hugging Face config."""
        return Request("GET", url_path("presets", name), model(PresetConfig))


class Recipes(Group[AnyTransport]):
    @iterable_endpoint
    def list(self) -> Listing[RecipeEntry]:
        """Iterate over the runs of the paper, each with its source."""
        return Listing(url_path("recipes"), model(Page[RecipeEntry]), page_size=None)

    @endpoint
    def get(self, name: str) -> Request[RecipeEntry]:
        return Request("GET", url_path("recipes", name), model(RecipeEntry))


class Workers(Group[AnyTransport]):
    @iterable_endpoint
    def list(self) -> Listing[Worker]:
        """Iterate over the workers that sent a heartbeat within the last minute, by name."""
        return Listing(url_path("workers"), model(Page[Worker]), page_size=None)


class Waiting(Group[AnyTransport]):
    @iterable_endpoint
    def list(self, *, limit: int | None = None) -> Listing[QueuedJob]:
        """Iterate over the queued jobs, in the order in which workers take them."""
        return Listing(url_path("queue"), model(Queue), limit=limit)

    @endpoint
    def get(self, *, limit: int | None = None) -> Request[Queue]:
        """Return the first queued jobs, and the number of jobs of each status."""
        return Request("GET", url_path("queue"), model(Queue), query={"limit": limit})
