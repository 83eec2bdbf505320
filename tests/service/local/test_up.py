"""`relora up`: the whole service, from its start to its end."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import redis
from rich.console import Console

from service.client import Client
from service.local import up as up_module
from service.local.up import UpError, run_up
from service.server import listen

pytestmark = pytest.mark.integration

PATIENCE = 180.0  # seconds, on a busy machine


def command(data_dir: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "service.cli", "up", "--data-dir", str(data_dir), *options]


def wait_until(fulfilled: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not fulfilled():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.1)


def children(parent: int) -> dict[str, int]:
    """The process ids of the parts, by a word of their command line."""
    words = {"valkey": "valkey-server", "api": "service.server", "reaper": "worker.reaper"}
    words |= {"worker-1": "worker-1@", "worker-2": "worker-2@"}
    found: dict[str, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_text()
            state = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        if int(state[1]) == parent and state[0] != "Z":
            found |= {name: int(folder.name) for name, word in words.items() if word in line}
    return found


@dataclass(frozen=True)
class Up:
    """`relora up` that runs."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def stop(self, number: signal.Signals) -> None:
        """Ask it to stop, and check that it leaves no part of it behind."""
        parts = children(self.process.pid)
        assert parts.keys() == {"valkey", "api", "reaper"}
        self.process.send_signal(number)
        assert self.process.wait(PATIENCE) == 0
        assert not [pid for pid in parts.values() if Path(f"/proc/{pid}").exists()]


@contextmanager
def running(data_dir: Path, *, workers: int = 0) -> Iterator[Up]:
    """The service once it answers, without a worker if possible: its start takes long."""
    log = data_dir.with_suffix(".log")
    with log.open("wb") as output:
        options = ("--port", "0", "--workers", str(workers))
        process = subprocess.Popen(command(data_dir, *options), stdout=output, stderr=output)
    address = data_dir / "url"
    try:
        wait_until(lambda: address.exists() or process.poll() is not None)
        yield Up(process, address.read_text().strip(), log)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up") / "data"


@pytest.fixture(scope="module")
def up(data_dir: Path) -> Iterator[Up]:
    """One for all tests that leave it as it was."""
    with running(data_dir) as started:
        yield started


@pytest.mark.slow
def test_it_answers_until_it_is_asked_to_stop_and_goes_on_where_it_was(
    tmp_path: Path, document: dict[str, object]
) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir) as up:
        assert httpx.get(f"{up.url}/readyz").json()["status"] == "ready"
        assert httpx.put(f"{up.url}/v1/secrets/token", json={"value": "hf_0123"}).is_success
        with Client(up.url) as client:
            job = client.jobs.create(document)
        up.stop(signal.SIGINT)
        assert not (data_dir / "url").exists()
        assert up.url in up.log.read_text()
    log = data_dir / "valkey/appendonlydir/appendonly.aof.manifest"  # of an earlier version
    log.parent.mkdir()
    log.write_bytes(bytes(12))  # as a power cut leaves it
    with running(data_dir) as again:
        with Client(again.url) as client:
            assert client.jobs.get(job.id).id == job.id
        again.stop(signal.SIGTERM)
        assert not (data_dir / "url").exists()


@pytest.mark.slow
def test_other_users_of_the_machine_reach_neither_the_data_nor_the_queue(
    up: Up, data_dir: Path
) -> None:
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    valkey = children(up.process.pid)["valkey"]
    config = data_dir / "valkey/valkey.conf"
    options = dict(line.split(" ", 1) for line in config.read_text().splitlines())
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert options["requirepass"] not in Path(f"/proc/{valkey}/cmdline").read_text()
    stranger = redis.Redis(port=int(options["port"]))
    with closing(stranger), pytest.raises(redis.AuthenticationError):
        stranger.flushall()
    assert httpx.get(f"{up.url}/readyz").json()["status"] == "ready"


@pytest.mark.slow
def test_a_part_that_is_killed_comes_back(up: Up) -> None:
    before = children(up.process.pid)
    for name in ("api", "valkey"):
        os.kill(before[name], signal.SIGKILL)

    def is_replaced(name: str) -> bool:
        return children(up.process.pid).get(name, before[name]) != before[name]

    wait_until(lambda: is_replaced("api") and is_replaced("valkey"))
    wait_until(lambda: httpx.get(f"{up.url}/readyz", timeout=30).json()["status"] == "ready")


@pytest.mark.slow
def test_a_second_one_on_the_same_data_is_refused(up: Up, data_dir: Path) -> None:
    second = subprocess.run(
        command(data_dir, "--port", "0"), capture_output=True, text=True, timeout=PATIENCE
    )
    assert second.returncode == 2
    assert "another `relora up` runs on" in second.stderr
    assert up.process.poll() is None


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        refused = subprocess.run(
            command(tmp_path / "data", "--port", str(port)),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert refused.returncode == 2
    assert f"cannot listen at 127.0.0.1:{port}" in refused.stderr
    assert "--port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_beyond_loopback_it_says_how_to_make_the_first_key_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def listening(host: str, port: int) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(getsockname=lambda: (host, port))

    monkeypatch.setattr(up_module, "_listening", listening)  # not bound: others could reach it
    monkeypatch.setattr(up_module, "Stop", lambda: SimpleNamespace(asked=False))
    data_dir = tmp_path / "data"
    with pytest.raises(UpError) as refused:
        run_up(host="10.0.0.7", port=80, data_dir=data_dir, workers=0, console=Console())
    for words in (
        "others could reach 10.0.0.7, and there is no API key yet",
        "python -m jobs.admin.keys create --name admin --scope operator",
        f"RELORA_DATA_DIR={data_dir}",
    ):
        assert words in str(refused.value)
    assert list((data_dir / "logs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of it")
def test_killed_it_leaves_no_part_behind(tmp_path: Path) -> None:
    with running(tmp_path / "data") as up:
        parts = children(up.process.pid)
        up.process.kill()
        wait_until(lambda: not [pid for pid in parts.values() if Path(f"/proc/{pid}").exists()])
    port = int(up.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.slow
def test_each_of_several_workers_registers(tmp_path: Path) -> None:
    with running(tmp_path / "data", workers=2) as up, Client(up.url) as client:
        wait_until(lambda: len(list(client.workers.list())) == 2)
        assert children(up.process.pid).keys() >= {"worker-1", "worker-2"}


@pytest.mark.slow
def test_with_a_broker_of_its_own_it_starts_none(
    tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELORA_BROKER_URL", valkey_url)
    process = subprocess.Popen(command(tmp_path / "data", "--port", "0", "--workers", "0"))
    try:
        wait_until((tmp_path / "data" / "url").exists)
        assert children(process.pid).keys() == {"api", "reaper"}
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
