"""Choose the documents or images that are held out for validation."""

import hashlib


def is_held_out(content: str | bytes, fraction: float) -> bool:
    """Return whether a document is held out.

    Only its content decides, so duplicates are always in the same split, in whatever order.
    """
    content = content.encode() if isinstance(content, str) else content
    position = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
    return position < fraction * 2**64
