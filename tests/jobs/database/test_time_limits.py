"""A PostgreSQL server that stops answering, and a slow one."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from jobs.database.engine import open_engine
from jobs.database.time_limits import STATEMENT_SECONDS
from tests.fixtures.proxy import Proxy

pytestmark = pytest.mark.integration


@contextmanager
def opened(url: str, *, statement_seconds: float) -> Iterator[Engine]:
    engine = open_engine(url, statement_seconds=statement_seconds)
    yield engine
    engine.dispose()


def ask(engine: Engine, query: str = "SELECT 1") -> None:
    with engine.begin() as connection:
        connection.execute(text(query))


def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres_server: str) -> None:
    with opened(f"{postgres_server}/postgres", statement_seconds=0.2) as engine:
        with pytest.raises(OperationalError, match="statement timeout"):
            ask(engine, "SELECT pg_sleep(30)")
        ask(engine)


def test_a_connection_that_goes_silent_fails_and_the_next_one_works(postgres_server: str) -> None:
    url = f"{postgres_server}/postgres"
    with Proxy.to(url) as proxy, opened(proxy.url(url), statement_seconds=0.2) as engine:
        ask(engine)
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            proxy.freeze()
            began = time.monotonic()
            with pytest.raises(OperationalError, match="did not answer within"):
                connection.execute(text("SELECT 1"))
            assert time.monotonic() - began < 5
            assert connection.invalidated
        proxy.heal()
        ask(engine)


def test_a_session_that_stops_within_a_transaction_loses_its_locks(postgres_server: str) -> None:
    url = f"{postgres_server}/postgres"
    with opened(url, statement_seconds=1) as engine, engine.connect() as connection:
        limit = connection.scalar(text("SHOW idle_in_transaction_session_timeout"))
    assert limit == "30s"


def test_connections_that_were_cut_are_replaced(postgres_server: str) -> None:
    url = f"{postgres_server}/postgres"
    with Proxy.to(url) as proxy, opened(proxy.url(url), statement_seconds=5) as engine:
        with ExitStack() as held:
            for _ in range(3):
                held.enter_context(engine.connect())
        proxy.drop()
        for _ in range(3):
            ask(engine)


def test_a_server_that_refuses_connections_is_an_outage_at_once(postgres_server: str) -> None:
    url = f"{postgres_server}/postgres"
    with Proxy.to(url) as proxy, opened(proxy.url(url), statement_seconds=5) as engine:
        ask(engine)
        proxy.refuse()
        began = time.monotonic()
        with pytest.raises(OperationalError):
            ask(engine)
        assert time.monotonic() - began < 5
        proxy.heal()
        ask(engine)


@pytest.mark.slow  # as long as a connection stays busy
def test_a_thread_waits_for_a_connection_as_long_as_a_statement_may_take(
    postgres_server: str,
) -> None:
    with opened(f"{postgres_server}/postgres", statement_seconds=STATEMENT_SECONDS) as engine:
        everybody = 20  # more than there are connections
        with ThreadPoolExecutor(everybody) as threads:
            list(threads.map(ask, [engine] * everybody, ["SELECT pg_sleep(7)"] * everybody))
