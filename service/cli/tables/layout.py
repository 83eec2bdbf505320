"""How facts stand in a terminal: many in a table, one thing's in a sheet."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

Fact = tuple[str, str | Text]
LEAST_WIDTH = 3  # of what gives way


def table(ids: Sequence[str], *names: str, first: str = "id", giving_way: str = "name") -> Table:
    """A line for each thing, which begins with its id, whole however narrow the terminal is.

    Where there is no room, the columns of `giving_way` are cut; their cells are `line`s.
    """
    made = Table(box=None, padding=(0, 1, 0, 0))
    made.add_column(first, no_wrap=True, min_width=max(map(len, ids), default=2))
    for name in names:
        if name in giving_way.split():
            made.add_column(name, min_width=LEAST_WIDTH)
        else:
            made.add_column(name, no_wrap=True, overflow="ellipsis")
    return made


def line(text: str, style: str = "") -> Text:
    """What people or models wrote, in one line that may be cut."""
    return Text(" ".join(text.split()), style=style, no_wrap=True, overflow="ellipsis")


def sheet(facts: Iterable[Fact]) -> Table:
    """One thing, a fact a line."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    for name, value in facts:
        rows.add_row(name, value if isinstance(value, Text) else Text(value))
    return rows


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"


def as_of(text: str, measured: int | None, now: int) -> str:
    """A score as it is shown at a step: one that was measured at another step names that step."""
    return text if measured in {None, now} else f"{text} (step {measured:,})"


def moment(time: datetime | None) -> str:
    return "-" if time is None else f"{time.astimezone():%m-%d %H:%M}"
