"""Sweeps: the methods for the routes below /v1/sweeps."""

from collections.abc import Mapping
from typing import Any

from jobs.schemas.sweeps import NewSweep, Sweep, SweepSummary
from service.client.calls import AnyTransport, Group, endpoint, iterable_endpoint
from service.client.requests import Listing, Request, idempotency_header, json_body, model, url_path
from service.schemas.pages import Page


class Sweeps(Group[AnyTransport]):
    @endpoint
    def create(self, sweep: NewSweep | Mapping[str, Any]) -> Request[Sweep]:
        """Queue a job for each combination of a grid. If one is invalid, none is queued."""
        return Request(
            "POST",
            url_path("sweeps"),
            model(Sweep),
            json=json_body(sweep),
            headers=idempotency_header(),
        )

    @iterable_endpoint
    def list(self, *, limit: int | None = None) -> Listing[SweepSummary]:
        """Iterate over the sweeps, the newest first, each with the count of its jobs by status."""
        return Listing(url_path("sweeps"), model(Page[SweepSummary]), limit=limit)

    @endpoint
    def get(self, sweep_id: str) -> Request[Sweep]:
        """Return a sweep with its jobs, to be compared."""
        return Request("GET", url_path("sweeps", sweep_id), model(Sweep))

    @endpoint
    def cancel(self, sweep_id: str) -> Request[Sweep]:
        """Cancel the jobs of a sweep that are not over."""
        return Request("POST", url_path("sweeps", sweep_id, "cancel"), model(Sweep))
