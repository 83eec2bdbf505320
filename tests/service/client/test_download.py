"""Files of a job, fetched in pieces and verified."""

import asyncio
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.job import Artifact, Job
from service.client import AsyncClient, Client, CorruptDownload, download
from service.client.download import Received
from tests.service.files import AddFile
from tests.service.process import Service

MODEL = "final/model.safetensors"
WEIGHTS = os.urandom(3_000_000)


@pytest.fixture
def model(add_file: AddFile) -> None:
    """A finished model, and a log, in the storage of the running job."""
    add_file("final/config.json", b"{}")
    add_file(MODEL, WEIGHTS)
    add_file("logs/attempt-1.log", b"")


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PIECE_BYTES", 1_000_000)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("model", "small_pieces")
def test_the_files_below_a_prefix_are_downloaded(
    client: Client, running: Job, tmp_path: Path
) -> None:
    files = client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    assert [file.relative_to(tmp_path / "down").as_posix() for file in files] == [
        "final/config.json",
        MODEL,
    ]
    assert files[1].read_bytes() == WEIGHTS
    assert names(tmp_path / "down/final") == ["config.json", "model.safetensors"]


@pytest.mark.usefixtures("model")
def test_an_empty_file_is_a_file(client: Client, running: Job, tmp_path: Path) -> None:
    (file,) = client.jobs.download(running.id, tmp_path, prefix="logs/")
    assert file.read_bytes() == b""


@pytest.mark.usefixtures("model")
def test_an_event_loop_downloads_in_a_thread(url: str, running: Job, tmp_path: Path) -> None:
    async def fetch() -> None:
        async with AsyncClient(url) as client:
            await client.jobs.download(running.id, tmp_path, prefix=MODEL)

    asyncio.run(fetch())
    assert (tmp_path / MODEL).read_bytes() == WEIGHTS


@pytest.mark.usefixtures("model")
def test_what_is_already_there_is_not_fetched_again(
    client: Client, running: Job, tmp_path: Path
) -> None:
    (first, _) = client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    before = first.stat().st_mtime_ns
    first.with_name("model.safetensors").write_bytes(b"half")
    (again, other) = client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    assert again.stat().st_mtime_ns == before
    assert other.read_bytes() == WEIGHTS


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("model", "small_pieces")
def test_a_download_that_was_broken_off_fetches_only_the_rest(
    client: Client, running: Job, tmp_path: Path
) -> None:
    came: list[int] = []

    def stop(received: Received) -> None:
        came.append(received.count)
        if sum(came) > 1_500_000:
            raise Stopped

    with pytest.raises(Stopped):
        client.jobs.download(running.id, tmp_path, prefix=MODEL, connections=1, listener=stop)
    assert not (tmp_path / MODEL).exists()
    came.clear()
    client.jobs.download(
        running.id, tmp_path, prefix=MODEL, listener=lambda received: came.append(received.count)
    )
    assert (tmp_path / MODEL).read_bytes() == WEIGHTS
    assert came[0] == 1_000_000  # the piece that was here, at once
    assert sum(came) == len(WEIGHTS)


@pytest.mark.usefixtures("model", "small_pieces")
def test_pieces_of_another_version_are_not_used(
    client: Client, running: Job, tmp_path: Path
) -> None:
    folder = tmp_path / "final"
    folder.mkdir()
    (folder / ".model.safetensors.part").write_bytes(bytes(len(WEIGHTS)))
    (folder / ".model.safetensors.pieces").write_text("0 in pieces of 1000000\n0\n1\n2\n")
    client.jobs.download(running.id, tmp_path, prefix=MODEL)
    assert (tmp_path / MODEL).read_bytes() == WEIGHTS


@pytest.mark.slow
@pytest.mark.usefixtures("model", "small_pieces")
@pytest.mark.integration
def test_a_download_outlives_a_server_that_is_killed(
    service: Service, running: Job, tmp_path: Path
) -> None:
    killed = False

    def kill_once(_: Received) -> None:
        nonlocal killed
        if not killed:
            killed = True
            service.kill()
            service.start()

    with Client(service.url) as client:
        client.jobs.download(running.id, tmp_path, prefix=MODEL, listener=kill_once)
    assert killed
    assert (tmp_path / MODEL).read_bytes() == WEIGHTS


@pytest.mark.usefixtures("model")
def test_a_damaged_file_is_not_kept(
    client: Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(b"[]")
    backends.storage_for(running).upload(tmp_path / "other", "final/config.json")
    with pytest.raises(CorruptDownload, match=r"final/config\.json"):
        client.jobs.download(running.id, tmp_path / "down", prefix="final/")
    assert names(tmp_path / "down/final") == []


def test_a_file_cannot_be_written_outside_of_the_folder(
    client: Client, backends: Backends, running: Job, tmp_path: Path
) -> None:
    artifact = Artifact(
        path="../escape",
        kind="log",
        step=None,
        size=0,
        sha256=hashlib.sha256().hexdigest(),
        created_at=datetime.now(UTC),
    )
    backends.attempts.add_artifacts(running.id, 1, [artifact])
    with pytest.raises(CorruptDownload, match="outside"):
        client.jobs.download(running.id, tmp_path / "down")
