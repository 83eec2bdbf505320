"""The signature of a webhook's request, for us who make it and for receivers who check it.

    Relora-Signature: t=1764000000,v1=5257a869...

`v1` is the HMAC-SHA256 of `t`, a dot and the body, under the webhook's secret, in hexadecimal.
This module needs nothing but Python, so that a receiver can take it as it is.
"""

import hashlib
import hmac
import time

SIGNATURE_HEADER = "Relora-Signature"
TOLERANCE_SECONDS = 300.0


class InvalidSignature(ValueError):
    """The request is not what the service sent, or it is an old one that came again."""


def sign(body: bytes, secret: str, *, at: int) -> str:
    """The header's value; `at` is in seconds since 1970."""
    return f"t={at},v1={_digest(body, secret, at)}"


def verify_signature(
    body: bytes,
    header: str | None,
    secret: str,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> None:
    """Raise `InvalidSignature` unless `body`, byte by byte as it came, was signed just now."""
    at, signature = _parse(header or "")
    if not hmac.compare_digest(_digest(body, secret, at), signature):
        raise InvalidSignature("The body was not signed with this secret.")
    age = (time.time() if now is None else now) - at
    if abs(age) > tolerance_seconds:
        raise InvalidSignature(
            f"The request was signed {age:.0f} s ago; {tolerance_seconds:.0f} s are allowed."
        )


def _digest(body: bytes, secret: str, at: int) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def _parse(header: str) -> tuple[int, str]:
    fields = dict(part.strip().partition("=")[::2] for part in header.split(","))
    at, signature = fields.get("t", ""), fields.get("v1", "")
    if not (at.isdecimal() and at.isascii() and signature.isascii() and signature):
        raise InvalidSignature(f"The header {SIGNATURE_HEADER} is missing or of another form.")
    return int(at), signature
