"""Signatures of webhooks, verified with the library that receivers use."""

import base64
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.webhooks.signature import InvalidSigningSecret, signed_headers, signing_keys

SECRET, NEW_SECRET = (f"whsec_{base64.b64encode(key * 24).decode()}" for key in (b"a", b"b"))
BODY = '{"event": {"type": "job.succeeded", "name": "ü"}}'


def signed(secret: str, *, timestamp: float | None = None) -> dict[str, str]:
    at = int(time.time() if timestamp is None else timestamp)
    return signed_headers(BODY.encode(), signing_keys(secret), message_id="dlv_1", timestamp=at)


def test_the_signature_is_that_of_the_published_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 # of the libraries' tests
    headers = signed_headers(
        b'{"test": 2432232314}',
        signing_keys(secret),
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_receiver_accepts_what_was_signed_just_now() -> None:
    assert Webhook(SECRET).verify(BODY, signed(SECRET))["event"]["name"] == "ü"


def test_a_receiver_refuses_another_body_another_secret_and_an_old_request() -> None:
    for secret, body, headers in [
        (SECRET, BODY + " ", signed(SECRET)),
        (NEW_SECRET, BODY, signed(SECRET)),
        (SECRET, BODY, {**signed(SECRET), "webhook-id": "dlv_2"}),
        (SECRET, BODY, signed(SECRET, timestamp=time.time() - 600)),
    ]:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, headers)


def test_while_a_secret_is_rotated_receivers_of_the_old_and_of_the_new_one_accept() -> None:
    headers = signed(f"{NEW_SECRET} {SECRET}")
    for secret in (NEW_SECRET, SECRET):
        Webhook(secret).verify(BODY, headers)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        " ",
        "a long random text",
        "whsec_",
        "whsec_0123456789",
        "whsec_not/base64/not/base64/not/base64!",
        "whsec_" + base64.b64encode(b"a" * 23).decode(),
        "whsec_" + base64.b64encode(b"a" * 65).decode(),
        f"{SECRET} and another",
    ],
)
def test_a_secret_in_another_form_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidSigningSecret, match="openssl rand -base64 32") as refused:
        signing_keys(secret)
    assert "0123456789" not in str(refused.value)
    assert "long random" not in str(refused.value)
