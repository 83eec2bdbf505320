"""Datasets: the methods for the routes below /v1/datasets."""

from pathlib import Path

from jobs.schemas.datasets import UploadedDataset
from service.client.calls import AnyTransport, Group, blocking_endpoint, endpoint, iterable_endpoint
from service.client.requests import Listing, Request, model, nothing, url_path
from service.client.transport import Transport
from service.client.upload import DatasetUpload, Listener, ignore
from service.schemas.pages import Page


class Datasets(Group[AnyTransport]):
    @blocking_endpoint
    def upload(
        self,
        transport: Transport,
        file: Path | str,
        *,
        name: str | None = None,
        listener: Listener = ignore,
    ) -> UploadedDataset:
        """Upload a file, verified by its sha256. Return the dataset; its `.uri` goes into a spec.

        An interrupted upload of the same file continues. A file that was uploaded before is not
        sent again.
        """
        path = Path(file)
        return DatasetUpload(transport, path, listener).send(name or path.name)

    @iterable_endpoint
    def list(self, *, limit: int | None = None) -> Listing[UploadedDataset]:
        """Iterate over the datasets, the newest first. Unfinished uploads are included."""
        return Listing(url_path("datasets"), model(Page[UploadedDataset]), limit=limit)

    @endpoint
    def get(self, dataset_id: str) -> Request[UploadedDataset]:
        return Request("GET", url_path("datasets", dataset_id), model(UploadedDataset))

    @endpoint
    def delete(self, dataset_id: str) -> Request[None]:
        """Delete a dataset that no job needs anymore, or an unfinished upload."""
        return Request("DELETE", url_path("datasets", dataset_id), nothing)
