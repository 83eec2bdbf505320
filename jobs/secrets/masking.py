"""Masking of secret values in text, in each encoding in which programs print them."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

MASK = "***"
SHORTEST_BASE64 = 8  # characters; a shorter form could match parts of ordinary words
_URL_SAFE = str.maketrans("+/", "-_")


def mask(values: Iterable[str]) -> Callable[[str], str]:
    """Return a function that replaces each of the values in a text of whole lines."""
    forms = {form for value in values for form in _forms(value)}
    if not forms:
        return lambda text: text
    longest_first = sorted(forms, key=len, reverse=True)  # a form may be a part of another
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return lambda text: pattern.sub(MASK, text)


def begun(values: Iterable[str]) -> Callable[[str], int]:
    """Return a function that counts the characters at the end of a text that may begin a value.

    A text that must be split is split before these characters.
    """
    forms = {form for value in values for form in _forms(value)}
    longest = max(map(len, forms), default=1)

    def at_the_end_of(text: str) -> int:
        for number in range(longest - 1, 0, -1):
            if any(number < len(form) and text.endswith(form[:number]) for form in forms):
                return number
        return 0

    return at_the_end_of


def _forms(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield quote(value, safe="")
    yield quote(value)
    yield from _in_base64(value.encode())


def _in_base64(value: bytes) -> Iterator[str]:
    """Yield the Base64 characters that depend only on the value.

    There are three cases, because the value may begin at any offset modulo 3 in the encoded bytes,
    for example after `user:` in a header.
    """
    for before in range(3):
        whole = b64encode(bytes(before) + value).decode()
        digits = whole[-(-before * 4 // 3) : (before + len(value)) * 4 // 3]
        if len(digits) >= SHORTEST_BASE64:
            yield digits
            yield digits.translate(_URL_SAFE)
