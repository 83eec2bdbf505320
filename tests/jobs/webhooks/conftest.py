"""Fixtures: webhooks in both databases."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, update

from jobs.database.tables.webhooks import deliveries
from jobs.schemas.webhooks import WebhookSpec
from jobs.webhooks.sending import DeliveryQueue
from jobs.webhooks.store import WebhookStore


@pytest.fixture
def webhooks(engine: Engine) -> WebhookStore:
    return WebhookStore(engine)


@pytest.fixture
def queue(engine: Engine) -> DeliveryQueue:
    return DeliveryQueue(engine)


@pytest.fixture
def hook() -> WebhookSpec:
    return WebhookSpec(url="https://example.com/relora", events=["job.*"], secret="key")


@pytest.fixture
def change_deliveries(engine: Engine) -> Callable[..., None]:
    """Return a function that changes all deliveries, for example their due times."""

    def change(**values: object) -> None:
        with engine.begin() as connection:
            connection.execute(update(deliveries).values(values))

    return change
