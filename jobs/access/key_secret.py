"""The secret text of an API key, and the digest that is stored of it."""

import hashlib
import secrets

_START = "rlk_"  # people and secret scanners recognize a key by it
_PREFIX_LENGTH = len(_START) + 8
_MAX_LENGTH = 256


def new_secret() -> str:
    """Return a new random secret of 256 bits."""
    return _START + secrets.token_hex(32)


def prefix_of(secret: str) -> str:
    """Return the start of a secret, by which people recognize a key. 224 bits stay secret."""
    return secret[:_PREFIX_LENGTH]


def digest_of(secret: str) -> str:
    """Return the digest that is stored instead of the key, in an indexed column.

    One round of SHA-256 is enough here. Slow hashes protect passwords, which can be guessed, but
    nobody can guess 256 random bits. The digest also prevents a timing attack on the lookup,
    because a change of one character changes the whole digest.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def looks_like_a_key(text: str) -> bool:
    return text.startswith(_START) and len(text) <= _MAX_LENGTH
