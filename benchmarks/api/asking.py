"""Latency of requests, sent one after the other or at a fixed rate."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

from benchmarks.api.connection import Connection, Failed

WARM_UP = 5  # requests that are not counted
CONNECTIONS = 20  # kept open for a fixed rate; more are opened when all are busy


@dataclass
class Answers:
    seconds: list[float] = field(default_factory=list)
    errors: int = 0


async def one_after_the_other(port: int, paths: Sequence[str], count: int) -> list[float]:
    """Return the seconds of each of `count` requests. The requests cycle through the paths.

    Raise `Failed` if the server does not answer with 200.
    """
    connection = await Connection.open(port)
    for path in islice(cycle(paths), max(WARM_UP, len(paths))):
        await connection.get(path)
    taken = []
    for path in islice(cycle(paths), count):
        began = time.perf_counter()
        await connection.get(path)
        taken.append(time.perf_counter() - began)
    await connection.close()
    return taken


async def at_a_rate(port: int, path: str, *, per_second: float, seconds: float) -> Answers:
    """Send requests at a fixed rate, whether earlier ones are answered or not.

    The time of a request counts from its scheduled moment. So if the server stalls, the requests
    that are due during the stall are slow too (no coordinated omission).
    """
    free = [await Connection.open(port) for _ in range(CONNECTIONS)]
    for connection in free:
        await connection.get(path)
    answers = Answers()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(per_second * seconds)):
            due = began + number / per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(_ask(port, path, due, free, answers))
    for connection in free:
        await connection.close()
    return answers


async def _ask(port: int, path: str, due: float, free: list[Connection], answers: Answers) -> None:
    try:
        connection = free.pop() if free else await Connection.open(port)
        await connection.get(path)
    except (Failed, OSError):
        answers.errors += 1
    else:
        free.append(connection)
        answers.seconds.append(time.perf_counter() - due)


async def meanwhile(write: Callable[[int], None], every: float) -> None:
    """Call `write` with 1, 2, 3, ... until cancelled, as the trainer of a job would."""
    number = 0
    while True:
        number += 1
        await asyncio.to_thread(write, number)
        await asyncio.sleep(every)
