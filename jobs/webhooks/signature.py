"""Signatures of webhook requests by Standard Webhooks 1.0 (https://www.standardwebhooks.com).

Receivers verify them with the libraries of Standard Webhooks, which exist for many languages.
"""

import base64
import hmac
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 # the prefix of every secret
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64


class InvalidSigningSecret(ValueError):
    """No request can be signed with this text."""

    def __init__(self) -> None:
        super().__init__(
            f"the value must be {SECRET_PREFIX} and the Base64 of {MIN_KEY_BYTES} to "
            f"{MAX_KEY_BYTES} random bytes; `echo {SECRET_PREFIX}$(openssl rand -base64 32)` "
            "makes one"
        )


def signing_keys(secret: str) -> list[bytes]:
    """Return the keys in a secret: one or, during a rotation, several separated by spaces.

    Raise `InvalidSigningSecret` if a key is invalid. Its message does not repeat the secret.
    """
    return [_key(part) for part in secret.split() or [secret]]


def _key(secret: str) -> bytes:
    if not secret.startswith(SECRET_PREFIX):
        raise InvalidSigningSecret
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        raise InvalidSigningSecret from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise InvalidSigningSecret
    return key


def signed_headers(
    body: bytes, keys: Sequence[bytes], *, message_id: str, timestamp: int
) -> dict[str, str]:
    """Return the signature headers of a body. `timestamp` is in seconds since 1970."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
