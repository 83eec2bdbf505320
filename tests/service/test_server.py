"""The socket that the service listens on."""

import socket

from service.server import listen


def test_the_body_of_an_answer_does_not_wait_for_the_receipt_of_its_head() -> None:
    with (
        listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
