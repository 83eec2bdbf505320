"""Datasets: the methods for the routes below /v1/datasets."""

from pathlib import Path

from jobs.schemas.datasets import UploadedDataset
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
    ) -> UploadedDataset:
        """Upload a file, verified by its sha256. Return the dataset; its `.uri` goes into a spec.

        An interrupted upload of the same file continues. A file that was uploaded before is not
        sent again.
        """
        path = Path(file)
        return Upload(transport, path, listener).send(name or path.name)

    @iterated
    def list(self, *, limit: int | None = None) -> Listing[UploadedDataset]:
        """Iterate over the datasets, the newest first. Unfinished uploads are included."""
        return Listing(at("datasets"), model(Page[UploadedDataset]), limit=limit)

    @answered
    def get(self, dataset_id: str) -> Request[UploadedDataset]:
        return Request("GET", at("datasets", dataset_id), model(UploadedDataset))

    @answered
    def delete(self, dataset_id: str) -> Request[None]:
        """Delete a dataset that no job needs anymore, or an unfinished upload."""
        return Request("DELETE", at("datasets", dataset_id), nothing)
