"""The service in a process of its own."""

import os
import subprocess
import sys
import time

import httpx

from jobs.settings import Settings
from service.server import listen


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
