"""Webhooks, on the command line."""

import json
import time

import pytest

from jobs.backends import Backends
from tests.service.cli.conftest import Relora
from tests.service.receiver import SIGNING_SECRET, Receiver, status


@pytest.fixture
def webhook(relora: Relora, backends: Backends, receiver: Receiver) -> str:
    """The id of a webhook that the receiver listens to."""
    backends.secrets.put("default", "key", SIGNING_SECRET)
    result = relora("webhooks", "create", receiver.url, "--secret", "key", "--event", "job.failed")
    assert result.stdout.endswith("for job.failed\n")
    return result.stdout.split()[1]


def sent(relora: Relora, webhook: str, *arguments: str) -> list[str]:
    """The words of the one delivery, once it is listed and was tried."""
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        _, *rows = relora("webhooks", "deliveries", webhook, *arguments).stdout.splitlines()
        if rows and rows[0].split()[3] != "0":
            return rows[0].split()
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_a_webhook_is_listed_shown_and_deleted(
    relora: Relora, webhook: str, receiver: Receiver
) -> None:
    _, row = relora("webhooks", "list").stdout.splitlines()
    assert row.split()[:2] == [webhook, "well"]
    assert json.loads(relora("webhooks", "list", "--json").stdout)["url"] == receiver.url
    facts = relora("webhooks", "get", webhook).stdout.splitlines()
    assert [fact.split(maxsplit=1)[1].strip() for fact in facts[1:5]] == [
        receiver.url,
        "job.failed",
        "all jobs of the project",
        "key",
    ]
    assert relora("webhooks", "list", "--job", "job_none").stdout.splitlines()[1:] == []
    assert relora("webhooks", "delete", webhook).stdout == f"deleted {webhook}\n"
    assert relora("webhooks", "get", webhook).exit_code == 2


def test_a_test_is_sent_again_and_its_deliveries_say_what_was_answered(
    relora: Relora, webhook: str
) -> None:
    _, row = relora("webhooks", "test", webhook).stdout.splitlines()
    delivery = row.split()[0]
    assert sent(relora, webhook) == [delivery, "webhook.test", "delivered", "1", "204"]
    assert relora("webhooks", "redeliver", webhook, delivery).exit_code == 0
    assert sent(relora, webhook, "--status", "delivered")[0] == delivery


def test_why_a_delivery_failed_is_said_whole(
    relora: Relora, webhook: str, receiver: Receiver
) -> None:
    receiver.answer = lambda handler: status(handler, 500)
    relora("webhooks", "test", webhook)
    assert sent(relora, webhook)[2:4] == ["pending", "1"]
    delivery = json.loads(relora("webhooks", "deliveries", webhook, "--json").stdout)
    assert " ".join(sent(relora, webhook)[4:]) == delivery["error"]


def test_an_address_without_a_secret_is_refused(relora: Relora) -> None:
    result = relora("webhooks", "create", "https://example.com/hook", "--secret", "none")
    assert result.exit_code == 2
    assert "no secret of this name" in result.stderr
