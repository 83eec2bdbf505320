"""Presets, recipes, workers and the queue of the service."""

from jobs.schemas.queue import QueuedJob
from jobs.schemas.workers import Worker
from service.client.calls import AnyTransport, Group, answered, iterated
from service.client.requests import Listing, Request, at, model
from service.schemas.pages import Page
from service.schemas.presets import Preset, PresetConfig, RecipeEntry
from service.schemas.responses import Queue


class Presets(Group[AnyTransport]):
    @iterated
    def list(self) -> Listing[Preset]:
        """Iterate over the model presets, with their sizes."""
        return Listing(at("presets"), model(Page[Preset]), page_size=None)

    @answered
    def get(self, name: str) -> Request[PresetConfig]:
        """Return a model preset with its Hugging Face config."""
        return Request("GET", at("presets", name), model(PresetConfig))


class Recipes(Group[AnyTransport]):
    @iterated
    def list(self) -> Listing[RecipeEntry]:
        """Iterate over the runs of the paper, each with its source."""
        return Listing(at("recipes"), model(Page[RecipeEntry]), page_size=None)

    @answered
    def get(self, name: str) -> Request[RecipeEntry]:
        return Request("GET", at("recipes", name), model(RecipeEntry))


class Workers(Group[AnyTransport]):
    @iterated
    def list(self) -> Listing[Worker]:
        """Iterate over the workers that sent a heartbeat within the last minute, by name."""
        return Listing(at("workers"), model(Page[Worker]), page_size=None)


class Waiting(Group[AnyTransport]):
    @iterated
    def list(self, *, limit: int | None = None) -> Listing[QueuedJob]:
        """Iterate over the queued jobs, in the order in which workers take them."""
        return Listing(at("queue"), model(Queue), limit=limit)

    @answered
    def get(self, *, limit: int | None = None) -> Request[Queue]:
        """Return the first queued jobs, and the number of jobs of each status."""
        return Request("GET", at("queue"), model(Queue), query={"limit": limit})
