"""Datasets on their way to the service."""

import asyncio
from pathlib import Path

import pytest

from jobs.schemas.datasets import DatasetStatus
from service.client import ApiError, AsyncClient, Client, upload
from tests.service.process import Service

TEXT = b'{"text": "In the beginning"}\n' * 1000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "words.jsonl"
    file.write_bytes(TEXT)
    return file


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 10_000)


@pytest.mark.usefixtures("small_parts")
def test_a_file_is_sent_in_parts_and_can_be_used(client: Client, file: Path) -> None:
    there: list[int] = []
    dataset = client.datasets.upload(file, listener=there.append)
    assert (dataset.status, dataset.name) == (DatasetStatus.READY, "words.jsonl")
    assert dataset.uri == f"upload://{dataset.id}"
    assert there == [0, 10_000, 20_000, len(TEXT)]


@pytest.mark.usefixtures("small_parts")
def test_an_upload_that_was_broken_off_goes_on(client: Client, file: Path) -> None:
    def stop(there: int) -> None:
        if there == 20_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.datasets.upload(file, listener=stop)
    there: list[int] = []
    dataset = client.datasets.upload(file, listener=there.append)
    assert there == [20_000, len(TEXT)]
    assert client.datasets.upload(file) == dataset  # all of it is there
    assert [one.id for one in client.datasets.list()] == [dataset.id]
    client.datasets.delete(dataset.id)
    with pytest.raises(ApiError, match="no dataset"):
        client.datasets.get(dataset.id)


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
@pytest.mark.integration
def test_an_upload_outlives_a_server_that_is_killed(service: Service, file: Path) -> None:
    def kill(there: int) -> None:
        if there == 10_000:
            service.kill()
            service.start()

    async def send() -> DatasetStatus:
        async with AsyncClient(service.url) as client:
            return (await client.datasets.upload(file, listener=kill)).status

    assert asyncio.run(send()) is DatasetStatus.READY


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_another_sent_is_not_sent_again(client: Client, file: Path) -> None:
    def send_between(there: int) -> None:
        if there == 10_000:
            upload.DatasetUpload(client.datasets.transport, file, upload.ignore).send(file.name)

    assert client.datasets.upload(file, listener=send_between).status is DatasetStatus.READY
