"""Suggest the name that a person probably meant instead of an unknown one."""

import difflib
import re
from collections.abc import Iterable

_LONGEST = 64  # characters: longer names get no suggestion
_SHOWN = 12


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the most similar of `names`, or None. Case, `-`, `_` and `.` do not matter."""
    if len(name) > _LONGEST:
        return None
    plain = {_plain(known): known for known in names}
    close = difflib.get_close_matches(_plain(name), plain, n=1)
    return plain[close[0]] if close else None


def no_such(kind: str, name: str, names: Iterable[str]) -> str:
    """Return a message for an unknown name, with the probably meant name or some known names."""
    known = list(names)
    close = nearest(name, known)
    shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
    if close is not None:
        return f"no {kind} {shown!r}; did you mean `{close}`?"
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"no {kind} {shown!r}; there are {', '.join(known[:_SHOWN])}{more}"


def _plain(name: str) -> str:
    return re.sub(r"[-_.]", "", name).lower()
