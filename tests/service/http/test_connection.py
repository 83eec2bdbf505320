"""Connections on which a request does not come are closed, and others are not."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest

from jobs.backends import Backends
from tests.service.serving import serving

SECONDS = 0.3
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
UNREAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def address(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    monkeypatch.setattr("service.http.connection.HEAD_SECONDS", SECONDS)
    with serving(backends) as url:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        yield parts.hostname, parts.port


def connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, timeout=10)


def answer(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"}"):
        received += connection.recv(65536)
    return received


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_half_a_head_is_not_waited_for(address: tuple[str, int]) -> None:
    with ExitStack() as opened:
        connections = [opened.enter_context(connect(address)) for _ in range(50)]
        for connection in connections:
            connection.sendall(GET[:20])
        assert all(is_closed(connection) for connection in connections)


def test_a_head_that_comes_byte_by_byte_has_no_more_time(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        with suppress(OSError):  # it is closed already
            for byte in GET[:-1]:
                connection.sendall(bytes([byte]))
                time.sleep(SECONDS / 20)
        assert is_closed(connection)


def test_the_second_head_of_a_connection_has_the_same_time(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(GET)
        assert b"200 OK" in answer(connection)
        connection.sendall(GET[:20])
        assert is_closed(connection)


def test_a_body_that_nobody_reads_keeps_no_connection(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        connection.sendall(UNREAD)
        assert b"200 OK" in answer(connection)
        connection.sendall(b"x")
        assert is_closed(connection)


def test_a_connection_may_rest_between_two_requests(address: tuple[str, int]) -> None:
    with connect(address) as connection:
        for _ in range(2):
            connection.sendall(GET[:20])
            connection.sendall(GET[20:])
            assert b"200 OK" in answer(connection)
            time.sleep(SECONDS * 2)


def test_a_connection_on_which_nothing_comes_is_closed(
    backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.service.serving.KEEP_ALIVE_SECONDS", SECONDS)
    with serving(backends) as url:
        parts = urlsplit(url)
        with connect((parts.hostname or "", parts.port or 0)) as connection:
            assert is_closed(connection)
