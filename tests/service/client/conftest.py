"""Files of a job to fetch, a service that can be killed, and a server that is not ours."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from jobs.backends import Backends
from jobs.models import Artifact, Job
from jobs.settings import Settings
from service.server import listen

AddFile = Callable[[str, bytes], None]


@pytest.fixture
def add_file(backends: Backends, running: Job, tmp_path: Path) -> AddFile:
    """Put a file into the storage of the running job, and list it."""

    def add(path: str, content: bytes) -> None:
        (tmp_path / "file").write_bytes(content)
        backends.storage_for(running).upload(tmp_path / "file", path)
        artifact = Artifact(
            path=path,
            kind="final" if path.startswith("final/") else "log",
            step=None,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            created_at=datetime.now(UTC),
        )
        backends.attempts.add_artifacts(running.id, 1, [artifact])

    return add


class Service:
    """A service in a process of its own, on one port, that is killed and comes back."""

    def __init__(self, settings: Settings) -> None:
        with listen("127.0.0.1", 0) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            "RELORA_DATA_DIR": str(settings.data_dir),
            "RELORA_BROKER_URL": settings.broker_url,
        }

    def start(self) -> None:
        command = [sys.executable, "-m", "service.server", "--port", str(self.port)]
        self._process = subprocess.Popen(
            command, env=self._environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        while not self._answers():
            assert self._process.poll() is None
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    service = Service(settings)
    service.start()
    yield service
    service.kill()


class Stranger(BaseHTTPRequestHandler):
    """Answers each request with the next of the statuses, and the last for ever."""

    statuses: list[tuple[int, dict[str, str]]]
    seen: list[tuple[str, str, dict[str, str]]]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, dict(self.headers)))
        status, headers = self.statuses[min(len(self.seen), len(self.statuses)) - 1]
        self.send_response(status)
        for name, value in {"Content-Length": "2", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer  # noqa: N815 # http.server's names for it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
        pass


@pytest.fixture
def stranger() -> Iterator[Callable[..., tuple[str, list[tuple[str, str, dict[str, str]]]]]]:
    """Starts a server that is not ours; gives its address and the requests that it sees."""
    servers = []

    def start(
        *statuses: tuple[int, dict[str, str]],
    ) -> tuple[str, list[tuple[str, str, dict[str, str]]]]:
        seen: list[tuple[str, str, dict[str, str]]] = []
        handler = type("Handler", (Stranger,), {"statuses": list(statuses), "seen": seen})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{server.server_port}", seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
