"""A minimal HTTP client that needs little time itself, so that the server is measured."""

import asyncio
import re
from contextlib import suppress
from typing import Self

MAX_HEAD = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.I)


class Failed(Exception):
    """The server did not answer, or answered with another status than 200."""


class Connection:
    """A keep-alive connection with one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=MAX_HEAD))

    async def get(self, path: str) -> bytes:
        """Return the body of the answer. On error, close the connection and raise `Failed`."""
        try:
            self.ask(path)
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await self._reader.readexactly(int(length[1]) if length else 0)
        except (OSError, asyncio.IncompleteReadError) as error:
            await self.close()
            raise Failed(f"{path}: {error!r}") from error
        if not head.startswith(b"HTTP/1.1 200 "):
            await self.close()
            raise Failed(f"{path}: {head.splitlines()[0]!r} {body[:200]!r}")
        return body

    def ask(self, path: str, *headers: str) -> None:
        lines = (f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", "")
        self._writer.write("\r\n".join(lines).encode())

    async def read(self) -> bytes:
        """Return the next bytes of a streamed answer, empty when the stream has ended."""
        return await self._reader.read(MAX_HEAD)

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):  # it was broken already
            await self._writer.wait_closed()
