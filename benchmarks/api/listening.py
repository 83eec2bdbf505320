"""Many listeners of one job's event stream: the time until each has received an event."""

import asyncio
import re
import time
from dataclasses import dataclass, field

from benchmarks.api.connection import Connection
from benchmarks.api.seeds import step_finished
from jobs.backends import Backends

JOIN_AT_ONCE = 50
PATIENCE = 60.0
_OPENED = b"retry: "  # the first line of a stream
_ID = re.compile(rb"^id: (\d+)$", re.M)


@dataclass
class Heard:
    """Seconds from just before an event is stored, for each listener and each event."""

    seconds: list[float] = field(default_factory=list)
    missed: int = 0


@dataclass
class _Room:
    """The state that the listeners share."""

    first: int  # the id of the first event that counts
    events: int
    stored: dict[int, float] = field(default_factory=dict)  # event id: time just before it
    joined: int = 0
    heard: list[float] = field(default_factory=list)


async def listen(
    port: int, backends: Backends, job_id: str, *, listeners: int, events: int, every: float
) -> Heard:
    """Connect `listeners` listeners, then store `events` events, one every `every` seconds."""
    first = backends.store.progress(job_id).version + 1
    room = _Room(first, events)
    tasks = []
    for number in range(listeners):
        tasks.append(asyncio.create_task(_listener(port, job_id, room)))
        if number % JOIN_AT_ONCE == 0:
            await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE):
        while room.joined < listeners:
            await asyncio.sleep(0.05)
    for number in range(events):
        await asyncio.to_thread(_store, backends, job_id, number, room)
        await asyncio.sleep(every)
    await asyncio.wait(tasks, timeout=PATIENCE)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return Heard(room.heard, missed=listeners * events - len(room.heard))


def _store(backends: Backends, job_id: str, number: int, room: _Room) -> None:
    room.stored[room.first + number] = time.perf_counter()
    backends.attempts.append(job_id, 1, [(number + 1, step_finished(number + 1, 3.0))])
    backends.wakeups.publish(job_id)


async def _listener(port: int, job_id: str, room: _Room) -> None:
    """Listen until the last event that counts."""
    connection = await Connection.open(port)
    connection.ask(
        f"/v1/jobs/{job_id}/events",
        "Accept: text/event-stream",
        f"Last-Event-ID: {room.first - 1}",
    )
    rest, last = b"", room.first + room.events - 1
    try:
        while data := await connection.read():
            now = time.perf_counter()
            room.joined += _OPENED in data
            *lines, rest = (rest + data).split(b"\n")
            ids = [int(number) for number in _ID.findall(b"\n".join(lines))]
            room.heard += [now - room.stored[number] for number in ids]
            if last in ids:
                return
    finally:
        await connection.close()
