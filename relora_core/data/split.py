"""Which documents are held out for validation."""

import hashlib


def is_held_out(text: str, fraction: float) -> bool:
    """Decide by the text alone: a duplicate falls on the same side, in whatever order it comes."""
    position = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    return position < fraction * 2**64
