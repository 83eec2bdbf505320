"""Requests while the database hangs."""

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import httpx
import pytest

import jobs.backends
from jobs.admin.migrate import migrate
from jobs.backends import Backends, open_backends
from jobs.database.engine import open_engine
from jobs.database.time_limits import CONNECTION
from jobs.settings import Settings
from tests.fixtures.proxy import Proxy

pytestmark = pytest.mark.integration


@pytest.fixture
def database(postgres_url: str) -> Iterator[Proxy]:
    migrate(postgres_url)
    with Proxy.to(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def backends(
    settings: Settings, database: Proxy, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Backends]:
    monkeypatch.setattr(jobs.backends, "open_engine", partial(open_engine, statement_seconds=0.2))
    monkeypatch.setitem(CONNECTION, "connect_timeout", 2)
    url = database.url(postgres_url)
    with closing(open_backends(settings.model_copy(update={"database_url": url}))) as opened:
        yield opened


def test_requests_are_answered_within_seconds(http: httpx.Client, database: Proxy) -> None:
    assert http.get("/v1/jobs").status_code == 200
    database.freeze()
    began = time.monotonic()

    answers = [http.get("/v1/jobs") for _ in range(2)]  # over a pooled connection, over a new one

    assert [answer.json()["code"] for answer in answers] == ["store_unavailable"] * 2
    assert [answer.status_code for answer in answers] == [503, 503]
    assert time.monotonic() - began < 10
    database.heal()
    assert http.get("/v1/jobs").status_code == 200
