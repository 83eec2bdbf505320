"""Output in a terminal: a table of many things, or the details of one."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

Fact = tuple[str, str | Text]
READABLE = 12  # minimum width of a column that may be truncated, in characters
GAP = 1  # between two columns


class Listing:
    """A table with a line for each thing. The first column, its id, is never truncated.

    If the terminal is too narrow, the columns in `giving_way` are truncated; their cells are
    `line`s. If it is still too narrow, columns are left out and named below the table: first
    those in `least`, in this order, then the others from the right. A table of nothing is `none`.
    """

    def __init__(
        self, *names: str, first: str = "id", giving_way: str = "name", least: str = ""
    ) -> None:
        self._names = (first, *names)
        self._giving_way = giving_way.split()
        by_name = [self._names.index(name) for name in least.split()]
        others = [index for index in range(len(names), 0, -1) if index not in by_name]
        self._least_first = [*by_name, *others]
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        self._rows.append([Text(cell) if isinstance(cell, str) else cell for cell in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._rows:
            yield Text("none", style="dim")
            return
        left_out = self._left_out(options.max_width)
        yield self._table([i for i in range(len(self._names)) if i not in left_out])
        if left_out:
            names = ", ".join(self._names[index] for index in sorted(left_out))
            yield Text(f"left out: {names}; a wider terminal shows more", style="dim")

    def _left_out(self, room: int) -> list[int]:
        needed = sum(self._width(index) + GAP for index in range(len(self._names))) - GAP
        left_out: list[int] = []
        for index in self._least_first:
            if needed <= room:
                break
            left_out.append(index)
            needed -= self._width(index) + GAP
        return left_out

    def _width(self, index: int) -> int:
        """Return the minimum width of a column."""
        name = self._names[index]
        widest = max(cell_len(name), *(row[index].cell_len for row in self._rows), 0)
        return min(widest, READABLE) if name in self._giving_way else widest

    def _table(self, shown: Sequence[int]) -> Table:
        made = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        for index in shown:
            may_be_cut = self._names[index] in self._giving_way
            made.add_column(
                self._names[index], no_wrap=not may_be_cut, min_width=self._width(index)
            )
        for row in self._rows:
            made.add_row(*(row[index] for index in shown))
        return made


def line(text: str, style: str = "") -> Text:
    """Return text of people or models as one line that may be truncated."""
    return Text(" ".join(text.split()), style=style, no_wrap=True, overflow="ellipsis")


def details(facts: Iterable[Fact]) -> Table:
    """Return the details of one thing, with one fact per line."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    for name, value in facts:
        rows.add_row(name, value if isinstance(value, Text) else Text(value))
    return rows


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.3f}"


def as_of(text: str, measured: int | None, now: int) -> str:
    """Return a score for display. Add its step if it was not measured at the step `now`."""
    return text if measured in {None, now} else f"{text} (step {measured:,})"


def moment(time: datetime | None) -> str:
    return "-" if time is None else f"{time.astimezone():%m-%d %H:%M}"
