"""How many files the server may have open."""

import resource
import socket
from contextlib import ExitStack

import pytest

from jobs.schemas.job import Job
from jobs.settings import Settings
from service.open_files import WITHOUT_LIMIT, wanted_of
from tests.service.process import Service

NONE = resource.RLIM_INFINITY
FEW = 200  # enough to start


@pytest.mark.parametrize(
    ("soft", "hard", "wanted"),
    [
        (1024, 524_288, 524_288),
        (4096, 4096, 4096),
        (256, NONE, WITHOUT_LIMIT),
        (20_000, NONE, 20_000),
        (NONE, NONE, NONE),
    ],
)
def test_the_hard_limit_is_wanted_where_there_is_one(soft: int, hard: int, wanted: int) -> None:
    assert wanted_of(soft, hard) == wanted


@pytest.mark.slow
@pytest.mark.integration
def test_more_listen_than_the_soft_limit_that_the_server_was_started_with(
    settings: Settings, job: Job
) -> None:
    service = Service(settings, open_files=FEW)
    service.start()
    with ExitStack() as listeners:
        listeners.callback(service.kill)
        for _ in range(FEW + 50):
            listener = socket.create_connection(("127.0.0.1", service.port), timeout=10)
            listeners.enter_context(listener)
            listener.sendall(request(job))
            assert listener.recv(15) == b"HTTP/1.1 200 OK"


def request(job: Job) -> bytes:
    lines = (
        f"GET /v1/jobs/{job.id}/events HTTP/1.1",
        "Host: localhost",
        "Accept: text/event-stream",
    )
    return "\r\n".join((*lines, "", "")).encode()
