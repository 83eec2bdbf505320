"""Secret values in text that others will read: replaced, in each form that programs print."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import quote

MASK = "***"


def mask(values: Iterable[str]) -> Callable[[str], str]:
    """A function that replaces each of the values. Give it whole lines."""
    forms = {form for value in values for form in _forms(value)}
    if not forms:
        return lambda text: text
    longest_first = sorted(forms, key=len, reverse=True)  # one may be a part of another
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return lambda text: pattern.sub(MASK, text)


def _forms(value: str) -> Iterator[str]:
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield quote(value, safe="")
    yield quote(value)
