"""Ids of jobs, datasets and so on: readable, unique without coordination, sorted by time."""

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32, without i, l, o and u
_LENGTH = 26
_RANDOM_BITS = 72


def new_job_id() -> str:
    return new_id("job_")


def new_id(prefix: str) -> str:
    """Return `prefix` and 128 bits: the microseconds since 1970, then random bits.

    Later ids sort after earlier ids.
    """
    microseconds = time.time_ns() // 1000
    number = microseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    digits = (_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
    return prefix + "".join(digits)
