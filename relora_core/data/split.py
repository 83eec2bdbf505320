"""Which documents or images are held out for validation."""

import hashlib


def is_held_out(content: str | bytes, fraction: float) -> bool:
    """Decide by the content alone: duplicates fall on the same side, in whatever order."""
    content = content.encode() if isinstance(content, str) else content
    position = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
    return position < fraction * 2**64
