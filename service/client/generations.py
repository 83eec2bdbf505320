"""Generations: the methods for the routes of a job that sample text."""

from collections.abc import Mapping
from typing import Any

from jobs.schemas.generations import OVER, Generation, NewGeneration
from service.client.calls import AnyTransport, Group, endpoint, iterable_endpoint
from service.client.requests import (
    LONGEST_WAIT_SECONDS,
    Listing,
    Request,
    RequestSequence,
    changes_of,
    model,
    url_path,
)
from service.schemas.pages import Page


class Generations(Group[AnyTransport]):
    @endpoint
    def generate(
        self, job_id: str, new: NewGeneration | Mapping[str, Any] | None = None
    ) -> RequestSequence[Generation]:
        """Generate text with a model of the job, also while it trains. Wait for the result.

        The generation that is returned has succeeded or failed.
        """
        seconds = LONGEST_WAIT_SECONDS
        asked: Generation = yield Request(
            "POST",
            url_path("jobs", job_id, "generate"),
            model(Generation),
            json=changes_of(new or {}),
        )
        while asked.status not in OVER:
            asked = yield Request(
                "GET",
                url_path("jobs", job_id, "generations", asked.id),
                model(Generation),
                query={"wait": seconds},
                seconds=seconds,
            )
        return asked

    @iterable_endpoint
    def generations(self, job_id: str, *, limit: int | None = None) -> Listing[Generation]:
        """Iterate over the generated texts, the newest first."""
        path = url_path("jobs", job_id, "generations")
        return Listing(path, model(Page[Generation]), limit=limit)
