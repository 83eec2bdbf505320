"""A process that samples text for one project, and keeps the model of its last text in memory."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.garbage.local_disk import GENERATION
from jobs.settings import Settings
from relora_core.workdir.files import SAMPLE_ANSWER, SAMPLE_REQUEST
from worker.attempt.environment import child_environment
from worker.launchers.process import TiedProcess, log_tail


class SamplerLost(Exception):
    """The process has ended. The message is the end of its log."""


class SamplerProcess:
    """The process gets half of the CPU cores, because a job may train on this node as well."""

    def __init__(self, settings: Settings, *, project: str, device: str) -> None:
        self.project = project
        self.used_at = time.monotonic()
        self._folder = TemporaryDirectory(prefix=GENERATION)
        self._path = Path(self._folder.name)
        self._process = TiedProcess(
            [sys.executable, "-m", "relora_core", "generate", "--device", device],
            environ=child_environment(settings, project=project, num_processes=2),
            cwd=self._path / "empty",
            log=self._path / "log",
        )

    def ask(self, model: Path, request: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        """Yield what the process answers (`relora_core.generate.answers`), and None while it works.

        Raise `SamplerLost` if it ends.
        """
        os.utime(self._path)  # so that it is not taken for a folder that was left behind
        with TemporaryDirectory(dir=self._path) as name:
            folder = Path(name)
            document = {**request, "model": str(model)}
            (folder / SAMPLE_REQUEST).write_text(json.dumps(document))
            self._process.send(name)
            read = 0
            while True:
                lines = _whole_lines(folder / SAMPLE_ANSWER)
                yield from (json.loads(line) for line in lines[read:])
                read = len(lines)
                if self._process.exit_code() is not None:
                    raise SamplerLost(log_tail(self._path / "log"))
                self.used_at = time.monotonic()
                yield None

    def end(self) -> None:
        self._process.kill()
        self._folder.cleanup()


def _whole_lines(file: Path) -> list[str]:
    try:
        content = file.read_text()
    except FileNotFoundError:
        return []
    return content.split("\n")[:-1]  # the last is still being written
