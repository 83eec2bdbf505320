"""Sweeps: the methods for the routes below /v1/sweeps."""

from collections.abc import Mapping
from typing import Any

from jobs.schemas.sweeps import NewSweep, Sweep, SweepSummary
from service.client.calls import AnyTransport, Group, answered, iterated
from service.client.requests import Listing, Request, at, body, model, once
from service.schemas.pages import Page


class Sweeps(Group[AnyTransport]):
    @answered
    def create(self, sweep: NewSweep | Mapping[str, Any]) -> Request[Sweep]:
        """Queue a job for each combination of a grid. If one is invalid, none is queued."""
        return Request("POST", at("sweeps"), model(Sweep), json=body(sweep), headers=once())

    @iterated
    def list(self, *, limit: int | None = None) -> Listing[SweepSummary]:
        """Iterate over the sweeps, the newest first, each with the count of its jobs by status."""
        return Listing(at("sweeps"), model(Page[SweepSummary]), limit=limit)

    @answered
    def get(self, sweep_id: str) -> Request[Sweep]:
        """Return a sweep with its jobs, to be compared."""
        return Request("GET", at("sweeps", sweep_id), model(Sweep))

    @answered
    def cancel(self, sweep_id: str) -> Request[Sweep]:
        """Cancel the jobs of a sweep that are not over."""
        return Request("POST", at("sweeps", sweep_id, "cancel"), model(Sweep))
