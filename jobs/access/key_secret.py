"""The secret that a key is, and what is stored of it."""

import hashlib
import secrets

_START = "rlk_"  # so that people and scanners of leaked secrets know one
_PREFIX_LENGTH = len(_START) + 8
_MAX_LENGTH = 256


def new_secret() -> str:
    """256 bits of chance."""
    return _START + secrets.token_hex(32)


def prefix_of(secret: str) -> str:
    """Enough to tell a key by; 224 bits stay unknown."""
    return secret[:_PREFIX_LENGTH]


def digest_of(secret: str) -> str:
    """What is stored in a key's place, and found by an index.

    One round of SHA-256 is right here: slow hashes protect passwords, which can be guessed;
    nobody guesses 256 bits. It also keeps the lookup from telling by its time how much of a
    secret is right, for a change of one character changes all of the digest.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def looks_like_a_key(text: str) -> bool:
    return text.startswith(_START) and len(text) <= _MAX_LENGTH
