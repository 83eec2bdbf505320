"""The socket that the service listens on, and how many may connect."""

import resource
import socket

import pytest

from service.server import listen, most_connections


@pytest.mark.integration
def test_the_body_of_an_answer_does_not_wait_for_the_receipt_of_its_head() -> None:
    with (
        listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_connections_leave_files_for_the_rest_of_the_process() -> None:
    assert most_connections(65_536) == 65_280
    assert most_connections(200) == 100
    assert most_connections(resource.RLIM_INFINITY) is None
