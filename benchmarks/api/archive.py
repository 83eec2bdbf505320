"""The download of a large model.tar."""

import time

import httpx

from benchmarks.api.process import ServerProcess

CHUNK = 1 << 20


def read_archive(server: ServerProcess, job_id: str) -> tuple[int, float]:
    """Download the archive. Return its size in bytes, which is checked, and the seconds."""
    address = f"{server.url}/v1/jobs/{job_id}/model.tar"
    began, received = time.perf_counter(), 0
    with httpx.stream("GET", address, timeout=60) as response:
        response.raise_for_status()
        for chunk in response.iter_raw(CHUNK):
            received += len(chunk)
        promised = int(response.headers["Content-Length"])
    assert received == promised, f"{received} of {promised} bytes came"
    return received, time.perf_counter() - began
