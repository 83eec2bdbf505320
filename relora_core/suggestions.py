"""What a person probably meant by a name that there is not."""

import difflib
import re
from collections.abc import Iterable

_LONGEST = 64  # of a name that a suggestion is looked for
_SHOWN = 12


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The most similar of `names`; case, `-` and `_` count for nothing."""
    if len(name) > _LONGEST:
        return None
    plain = {_plain(known): known for known in names}
    close = difflib.get_close_matches(_plain(name), plain, n=1)
    return plain[close[0]] if close else None


def no_such(kind: str, name: str, names: Iterable[str]) -> str:
    """Say that there is none of this name, with the one that was meant or some that there are."""
    known = list(names)
    close = nearest(name, known)
    shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
    if close is not None:
        return f"no {kind} {shown!r}; did you mean `{close}`?"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"no {kind} {shown!r}; there are {', '.join(known[:_SHOWN])}{more}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]", "", name).lower()
