"""Upload a file in parts by tus 1.0. An earlier upload of the same file continues."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.schemas.datasets import DatasetStatus, NewDataset, UploadedDataset
from relora_core.files import sha256
from service.client.errors import ApiError, Unreachable
from service.client.requests import Listing, Request, model, nothing, url_path
from service.client.retry import RetryBudget
from service.client.transport import Transport
from service.schemas import tus
from service.schemas.pages import Page

PART_BYTES = 16 << 20

Listener = Callable[[int], None]
"""Is told how many bytes the service has."""


def ignore(_: int) -> None:
    pass


@dataclass(frozen=True)
class DatasetUpload:
    transport: Transport
    file: Path
    listener: Listener

    def send(self, name: str) -> UploadedDataset:
        new = NewDataset(
            name=name,
            filename=self.file.name,
            size=self.file.stat().st_size,
            sha256=sha256(self.file),
        )
        dataset = self._known(new) or self._announce(new)
        budget = RetryBudget()
        while dataset.status is DatasetStatus.UPLOADING:
            self.listener(dataset.received)
            try:
                self._send_part(dataset)
                budget.reset()
            except (ApiError, Unreachable) as error:
                time.sleep(budget.next_delay(None if _is_elsewhere(error) else error))
            dataset = self._get(dataset.id)
        self.listener(dataset.received)
        return dataset

    def _known(self, new: NewDataset) -> UploadedDataset | None:
        """Return the dataset of an earlier upload of the same file, finished or not."""
        for dataset in self._datasets():
            if (dataset.name, dataset.filename, dataset.size, dataset.sha256) == (
                new.name,
                new.filename,
                new.size,
                new.sha256,
            ):
                return dataset
        return None

    def _datasets(self) -> Iterator[UploadedDataset]:
        return self.transport.iterate(Listing(url_path("datasets"), model(Page[UploadedDataset])))

    def _announce(self, new: NewDataset) -> UploadedDataset:
        metadata = new.model_dump(include={"name", "filename", "sha256"})
        headers = {
            tus.RESUMABLE: tus.VERSION,
            tus.LENGTH: str(new.size),
            tus.METADATA: tus.encode_metadata(metadata),
        }
        return self.transport.send(
            Request("POST", url_path("datasets"), model(UploadedDataset), headers=headers)
        )

    def _get(self, dataset_id: str) -> UploadedDataset:
        return self.transport.send(
            Request("GET", url_path("datasets", dataset_id), model(UploadedDataset))
        )

    def _send_part(self, dataset: UploadedDataset) -> None:
        with self.file.open("rb") as file:
            file.seek(dataset.received)
            content = file.read(PART_BYTES)
        headers = {
            tus.RESUMABLE: tus.VERSION,
            tus.OFFSET: str(dataset.received),
            "Content-Type": tus.CONTENT_TYPE,
        }
        path = url_path("datasets", dataset.id)
        self.transport.send(Request("PATCH", path, nothing, headers=headers, content=content))


def _is_elsewhere(error: ApiError | Unreachable) -> bool:
    """Return True if the service has another number of bytes than the client believes.

    This happens when a part arrived but its response was lost. The service knows the offset to
    continue from.
    """
    return isinstance(error, ApiError) and error.code == "offset_mismatch"
