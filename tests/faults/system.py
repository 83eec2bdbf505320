"""The system of the soak: two nodes with a worker each, the process that collects lost jobs, and
proxies before PostgreSQL, S3 and Valkey."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.settings import Settings
from tests.faults.jobs import Jobs
from tests.fixtures.proxy import Proxy
from tests.worker.processes import environ, ranks, trainers

WORKER = ["-m", "celery", "-A", "tests.faults.mixed_worker", "worker", "-l", "info"]
REAPER = ["-m", "worker.reaper"]


@dataclass
class Program:
    """A process that is started again when it has ended, as Kubernetes does."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def restart_if_dead(self) -> None:
        if self.process is None or self.process.poll() is not None:
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(
                    [sys.executable, *self.arguments],
                    env=self.environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class Node:
    """A worker and the disk of its own that it works on."""

    data_dir: Path
    worker: Program

    def trainers(self) -> list[int]:
        """The trainer's processes, if it has an attempt."""
        return trainers(self.data_dir)

    def ranks(self) -> list[int]:
        """The trainer's processes but torchrun."""
        return ranks(self.data_dir)

    def workdirs(self) -> list[Path]:
        return sorted((self.data_dir / "scratch").glob("*/attempt-*"))


@dataclass
class System:
    database: Proxy
    storage: Proxy
    broker: Proxy
    nodes: list[Node]
    reaper: Program
    jobs: Jobs
    settings: Settings  # of who reaches the servers without the proxies

    @property
    def programs(self) -> list[Program]:
        return [self.reaper, *(node.worker for node in self.nodes)]

    def restart_if_dead(self) -> None:
        for program in self.programs:
            program.restart_if_dead()

    def stop(self) -> None:
        for node in self.nodes:
            node.worker.end()
            for pid in node.trainers():
                kill(pid, signal.SIGKILL)
        self.reaper.end()


def kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def build(
    settings: Settings, jobs: Jobs, folder: Path, disks: Sequence[Path], proxies: Sequence[Proxy]
) -> System:
    """`settings` reach the servers through the proxies: database, storage, broker."""
    database, storage, broker = proxies
    through = {
        "database_url": database.url(settings.database_url),
        "broker_url": broker.url(settings.broker_url),
    }
    variables = {
        "AWS_ENDPOINT_URL": storage.url(os.environ["AWS_ENDPOINT_URL"]),
        "CUDA_VISIBLE_DEVICES": "",  # torch finds no GPU
    }

    def program(name: str, arguments: Sequence[str], data_dir: Path) -> Program:
        own = settings.model_copy(update={**through, "data_dir": data_dir})
        return Program(name, arguments, environ(own) | variables, folder / f"{name}.log")

    nodes = [
        Node(disk, program(f"worker-{number}", WORKER, disk))
        for number, disk in enumerate(disks, start=1)
    ]
    reaper = program("reaper", REAPER, folder / "reaper")
    return System(database, storage, broker, nodes, reaper, jobs, settings)
