"""Datasets: what is below /v1/datasets."""

from pathlib import Path

from jobs.schemas.datasets import Dataset
from service.client.calls import AnyTransport, Group, answered, iterated, threaded
from service.client.requests import Listing, Request, at, model, nothing
from service.client.transport import Transport
from service.client.upload import Listener, Upload, unnoticed
from service.schemas.pages import Page


class Datasets(Group[AnyTransport]):
    @threaded
    def upload(
        self,
        transport: Transport,
        file: Path | str,
        *,
        name: str | None = None,
        listener: Listener = unnoticed,
    ) -> Dataset:
        """Send a file, which its sha256 verifies, and return it `ready`: `.uri` is for a spec.

        An upload of the same file that was broken off goes on; one that is there is not sent.
        """
        path = Path(file)
        return Upload(transport, path, listener).send(name or path.name)

    @iterated
    def list(self, *, limit: int | None = None) -> Listing[Dataset]:
        """The newest first, those that are being uploaded among them."""
        return Listing(at("datasets"), model(Page[Dataset]), limit=limit)

    @answered
    def get(self, dataset_id: str) -> Request[Dataset]:
        return Request("GET", at("datasets", dataset_id), model(Dataset))

    @answered
    def delete(self, dataset_id: str) -> Request[None]:
        """Delete a dataset that no job needs any more, or an unfinished upload."""
        return Request("DELETE", at("datasets", dataset_id), nothing)
