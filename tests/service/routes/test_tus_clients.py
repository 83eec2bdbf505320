"""tuspy, a client of the makers of tus, uploads datasets."""

import hashlib
import io

import httpx
import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusUploadFailed

TEXT = b"In the beginning\n" * 100_000
METADATA = {"filename": "corpus.txt", "sha256": hashlib.sha256(TEXT).hexdigest()}


@pytest.fixture
def tuspy(url: str) -> TusClient:
    return TusClient(f"{url}/v1/datasets")


def test_tuspy_uploads_in_parts_and_continues_an_upload_that_was_cut(
    http: httpx.Client, tuspy: TusClient
) -> None:
    first = tuspy.uploader(file_stream=io.BytesIO(TEXT), chunk_size=500_000, metadata=METADATA)
    first.upload(stop_at=500_000)
    assert first.url is not None

    second = tuspy.uploader(file_stream=io.BytesIO(TEXT), chunk_size=700_000, url=first.url)
    assert second.offset == 500_000
    second.upload()
    assert second.offset == len(TEXT)
    dataset = http.get(first.url).json()
    assert (dataset["name"], dataset["status"]) == ("corpus.txt", "ready")


def test_tuspy_tells_that_a_file_is_not_the_announced_one(tuspy: TusClient) -> None:
    other = io.BytesIO(b"x" * len(TEXT))
    with pytest.raises(TusUploadFailed):
        tuspy.uploader(file_stream=other, chunk_size=len(TEXT), metadata=METADATA).upload()
