"""The clients of the bench, against a server whose answers a test decides."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.api.asking import at_a_rate, one_after_the_other
from benchmarks.api.connection import Failed

pytestmark = pytest.mark.integration

Answer = Callable[[int], Awaitable[bytes]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SORRY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno"


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """The port of a server that answers each request by its number."""
    asked, over = 0, list[asyncio.Task[object]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        task = asyncio.current_task()
        assert task is not None
        over.append(task)
        while head := await reader.read(1 << 16):
            for _ in range(head.count(b"\r\n\r\n")):
                asked += 1
                writer.write(await answer(asked))
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*over)


async def ok(_: int) -> bytes:
    return OK


def test_one_request_waits_for_the_answer_to_the_one_before() -> None:
    async def slowly(_: int) -> bytes:
        await asyncio.sleep(0.01)
        return OK

    async def run() -> list[float]:
        async with serving(slowly) as port:
            return await one_after_the_other(port, ["/a", "/b"], 4)

    assert [0.01 <= seconds < 1 for seconds in asyncio.run(run())] == [True] * 4


def test_an_answer_that_is_not_200_is_no_measurement() -> None:
    async def sorry(_: int) -> bytes:
        return SORRY

    async def run() -> None:
        async with serving(sorry) as port:
            await one_after_the_other(port, ["/a"], 1)

    with pytest.raises(Failed, match="503"):
        asyncio.run(run())


def test_at_a_rate_errors_are_counted_and_have_no_time() -> None:
    async def every_second(number: int) -> bytes:
        return OK if number <= 20 or number % 2 else SORRY  # the first open the connections

    async def run() -> tuple[int, int]:
        async with serving(every_second) as port:
            answers = await at_a_rate(port, "/", per_second=500, seconds=0.1)
        return len(answers.seconds), answers.errors

    assert asyncio.run(run()) == (25, 25)


def test_at_a_rate_a_stall_counts_for_all_that_come_meanwhile() -> None:
    stalled = 0.3

    async def stalling(number: int) -> bytes:
        if number == 21:
            time.sleep(stalled)  # the whole server, as a long pause of it would
        return OK

    async def run() -> list[float]:
        async with serving(stalling) as port:
            return (await at_a_rate(port, "/", per_second=100, seconds=0.2)).seconds

    late = [seconds for seconds in asyncio.run(run()) if seconds > 0.1]
    assert len(late) > 10
