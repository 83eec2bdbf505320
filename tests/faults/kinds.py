"""The kinds of faults that the soak injects, each with how it is healed."""

import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from redis import Redis

from tests.faults.mixed_worker import GPU_LOST, MEMINFO
from tests.faults.system import Node, System, kill
from tests.fixtures.cgroups import new_memory_cgroup
from tests.fixtures.disks import fill, read_only
from tests.fixtures.proxy import Answer, Proxy

Inject = Callable[[System, Random], None]
KINDS: dict[str, Inject] = {}
SOON_SECONDS = 60.0


class NotYetPossible(Exception):
    """There is nothing now that the fault could meet."""


def kind(name: str) -> Callable[[Inject], Inject]:
    def register(inject: Inject) -> Inject:
        KINDS[name] = inject
        return inject

    return register


def _trains(node: Node) -> bool:
    return bool(node.trainers())


def _node(
    system: System,
    random: Random,
    *,
    ready: Callable[[Node], bool] = _trains,
) -> Node:
    """One that trains. Raise `NotYetPossible` if none does soon."""
    deadline = time.monotonic() + SOON_SECONDS
    while not (found := list(filter(ready, system.nodes))):
        if time.monotonic() > deadline:
            raise NotYetPossible
        system.restart_if_dead()
        time.sleep(0.1)
    return random.choice(found)


def _heal(proxy: Proxy, *, after: float) -> None:
    time.sleep(after)
    proxy.heal()


def _kill_all(node: Node) -> None:
    pids = node.trainers()
    node.worker.signal(signal.SIGKILL)
    for pid in pids:
        kill(pid, signal.SIGKILL)


# --- processes -------------------------------------------------------------------------------


@kind("worker killed")
def _(system: System, random: Random) -> None:
    _node(system, random).worker.signal(signal.SIGKILL)


@kind("trainer killed")
def _(system: System, random: Random) -> None:
    for pid in _node(system, random).trainers():
        kill(pid, signal.SIGKILL)


@kind("trainer killed by the kernel, as its container has no more memory")
def _(system: System, random: Random) -> None:
    with new_memory_cgroup() as cgroup:
        for pid in _node(system, random).trainers():
            with suppress(OSError):  # it has ended
                Path(f"/proc/{pid}/oom_score_adj").write_text("1000")  # killed before the others
                cgroup.add(pid)
        cgroup.allow_no_more()
        subprocess.run(cgroup.allocate_until_one_is_killed())


@kind("worker and trainer killed, as when a node is lost")
def _(system: System, random: Random) -> None:
    _kill_all(_node(system, random))


@kind("worker asked to leave, as by a deployment")
def _(system: System, random: Random) -> None:
    _node(system, random).worker.signal(signal.SIGTERM)


@kind("worker stopped for longer than its lease, then continued")
def _(system: System, random: Random) -> None:
    worker = _node(system, random).worker
    worker.signal(signal.SIGSTOP)
    time.sleep(system.settings.lease_seconds * 1.5)
    worker.signal(signal.SIGCONT)


@kind("trainer stopped, as one that hangs")
def _(system: System, random: Random) -> None:
    for pid in _node(system, random).trainers():
        kill(pid, signal.SIGSTOP)


@kind("one rank of two stopped")
def _(system: System, random: Random) -> None:
    system.jobs.have_two_ranks()
    node = _node(system, random, ready=lambda node: len(node.ranks()) == 2)
    time.sleep(random.uniform(0, 10))  # while they start, or while they train
    if len(ranks := node.ranks()) != 2:
        raise NotYetPossible
    kill(random.choice(ranks), signal.SIGSTOP)


@kind("host asleep for two leases")
def _(system: System, _random: Random) -> None:
    pids = [pid for node in system.nodes for pid in node.trainers()]
    for program in system.programs:
        program.signal(signal.SIGSTOP)
    for pid in pids:
        kill(pid, signal.SIGSTOP)
    time.sleep(system.settings.lease_seconds * 2)
    for pid in pids:
        kill(pid, signal.SIGCONT)
    for program in system.programs:
        program.signal(signal.SIGCONT)


@kind("collector of lost jobs killed")
def _(system: System, _random: Random) -> None:
    system.reaper.signal(signal.SIGKILL)


# --- servers ---------------------------------------------------------------------------------


@kind("database swallows packets for longer than a lease")
def _(system: System, _random: Random) -> None:
    system.database.freeze()
    _heal(system.database, after=system.settings.lease_seconds * 1.5)


@kind("database refuses connections")
def _(system: System, random: Random) -> None:
    system.database.refuse()
    _heal(system.database, after=random.uniform(1, 8))


@kind("database connections cut")
def _(system: System, _random: Random) -> None:
    system.database.drop()


@kind("broker swallows packets")
def _(system: System, random: Random) -> None:
    system.broker.freeze()
    _heal(system.broker, after=random.uniform(2, 10))


@kind("broker loses its data")
def _(system: System, _random: Random) -> None:
    with Redis.from_url(system.settings.broker_url) as valkey:
        valkey.flushall()


@kind("broker refuses writes")
def _(system: System, random: Random) -> None:
    with Redis.from_url(system.settings.broker_url) as valkey:
        valkey.config_set("min-replicas-to-write", 1)
        time.sleep(random.uniform(2, 8))
        valkey.config_set("min-replicas-to-write", 0)


def _answers(status: int, code: str) -> Inject:
    """S3 answers so to one request in two."""

    def inject(system: System, random: Random) -> None:
        body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        answer = Answer(status, body, (("Content-Type", "application/xml"),))
        system.storage.answer(lambda _method, _target: answer if random.random() < 0.5 else None)
        _heal(system.storage, after=random.uniform(3, 8))

    return inject


kind("storage answers 500")(_answers(500, "InternalError"))
kind("storage answers 503 SlowDown")(_answers(503, "SlowDown"))
kind("storage answers 403 ExpiredToken")(_answers(403, "ExpiredToken"))
kind("storage answers 403 AccessDenied")(_answers(403, "AccessDenied"))
kind("storage answers 403 RequestTimeTooSkewed")(_answers(403, "RequestTimeTooSkewed"))


@kind("storage connections cut in the middle of an answer")
def _(system: System, random: Random) -> None:
    system.storage.cut(after_bytes=random.randrange(100, 2000))
    _heal(system.storage, after=random.uniform(2, 6))


@kind("storage slow")
def _(system: System, random: Random) -> None:
    system.storage.throttle(bytes_per_second=2000)
    _heal(system.storage, after=random.uniform(5, 10))


@kind("storage swallows packets")
def _(system: System, random: Random) -> None:
    system.storage.freeze()
    _heal(system.storage, after=random.uniform(3, 10))


# --- nodes -----------------------------------------------------------------------------------


def _lacks(name: str, content: str) -> Inject:
    """A file on the node's disk says what it lacks. Its attempt ends, and it takes no job."""

    def inject(system: System, random: Random) -> None:
        node = _node(system, random)
        (node.data_dir / name).write_text(content)
        for pid in node.trainers():
            kill(pid, signal.SIGKILL)
        time.sleep(random.uniform(4, 8))
        (node.data_dir / name).unlink()

    return inject


kind("node without memory")(_lacks(MEMINFO, "MemAvailable: 100000 kB\n"))
kind("GPU of a node that torch cannot use")(_lacks(GPU_LOST, ""))


# --- disks and files -------------------------------------------------------------------------


@kind("disk of a node full")
def _(system: System, random: Random) -> None:
    disk = _node(system, random).data_dir
    fill(disk)
    time.sleep(random.uniform(4, 8))
    (disk / "filler").unlink()


@kind("disk of a node read-only")
def _(system: System, random: Random) -> None:
    with read_only(_node(system, random).data_dir):
        time.sleep(random.uniform(4, 8))


@kind("events of a run corrupted")
def _(system: System, random: Random) -> None:
    for workdir in _node(system, random).workdirs():
        append(workdir / "events.jsonl", b"\0" * 40 + b"\n")


@kind("newest checkpoint on a node corrupted, and its worker killed")
def _(system: System, random: Random) -> None:
    for folder in _newest_checkpoint(system, random):
        flip(folder / "state.json")


@kind("manifest of the newest checkpoint on a node is garbage, and its worker killed")
def _(system: System, random: Random) -> None:
    for folder in _newest_checkpoint(system, random):
        overwrite(folder / "manifest.json")


@kind("cached tokens of a node cut, and its worker killed")
def _(system: System, random: Random) -> None:
    node = _node(system, random)
    _kill_all(node)
    for file in sorted((node.data_dir / "cache").rglob("*.bin")):
        cut(file)


@kind("manifests of the cached tokens of a node are garbage, and its worker killed")
def _(system: System, random: Random) -> None:
    node = _node(system, random)
    _kill_all(node)
    for file in (node.data_dir / "cache").rglob("manifest.json"):
        overwrite(file)


def _newest_checkpoint(system: System, random: Random) -> list[Path]:
    """The folder of a node's newest one, when the node's worker and trainer are killed."""
    node = _node(system, random, ready=lambda node: _trains(node) and bool(_checkpoints(node)))
    _kill_all(node)
    return _checkpoints(node)[-1:]


def _checkpoints(node: Node) -> list[Path]:
    return [
        manifest.parent
        for workdir in node.workdirs()
        for manifest in sorted(workdir.glob("checkpoints/step-*/manifest.json"))
    ]


def append(file: Path, content: bytes) -> None:
    try:
        with file.open("ab") as writer:
            writer.write(content)
    except OSError:
        return


def overwrite(file: Path) -> None:
    if file.exists():
        file.write_bytes(b"\0garbage")


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def flip(file: Path) -> None:
    try:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 0xFF
        file.write_bytes(content)
    except (OSError, IndexError):
        return
