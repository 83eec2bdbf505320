"""What a receiver can be sure of."""

import pytest

from jobs.webhooks.signature import InvalidSignature, sign, verify_signature

SECRET, BODY, AT = "whsec_0123", b'{"event": {"type": "job.succeeded"}}', 1_764_000_000
SIGNED = sign(BODY, SECRET, at=AT)


def test_the_signature_is_the_hmac_of_time_and_body() -> None:
    assert SIGNED == (
        "t=1764000000,v1=709d2e559905e98a9db3677fa61afee36b455313ab50f2e65b4ba364480506f7"
    )


def test_a_request_of_just_now_is_accepted() -> None:
    verify_signature(BODY, SIGNED, SECRET, now=AT + 299)


@pytest.mark.parametrize(
    ("body", "header", "secret"),
    [
        (BODY + b" ", SIGNED, SECRET),
        (BODY, SIGNED, "another"),
        (BODY, SIGNED.replace("t=1764000000", "t=1764000001"), SECRET),
        (BODY, SIGNED[:-1], SECRET),
        (BODY, "t=,v1=", SECRET),
        (BODY, "t=²,v1=é", SECRET),
        (BODY, "v1", SECRET),
        (BODY, None, SECRET),
    ],
)
def test_whatever_was_changed_is_refused(body: bytes, header: str | None, secret: str) -> None:
    with pytest.raises(InvalidSignature):
        verify_signature(body, header, secret, now=AT)


@pytest.mark.parametrize("now", [AT + 301, AT - 301])
def test_a_request_that_was_kept_is_refused(now: float) -> None:
    with pytest.raises(InvalidSignature, match="300 s are allowed"):
        verify_signature(BODY, SIGNED, SECRET, now=now)
