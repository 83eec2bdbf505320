"""A chart of the loss over the steps in Braille characters, of two by four dots each."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, isfinite

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column
MOST_POINTS = 4000
SETTLED = 0.1  # share of the curve left out of the scale: its steep start would flatten the rest
LABEL_WIDTH = 7
RESTART = "┊"
LOW_RANK = "│"  # the step where the warm start ends


@dataclass
class LossCurve:
    """A loss curve that grows point by point.

    If a new attempt repeats a step, the points from that step on are replaced.
    """

    total_steps: int
    height: int = 8
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    low_rank_from: int | None = None

    def add(self, step: int, loss: float) -> None:
        if not isfinite(loss):
            return
        self._forget_from(step)
        self.steps.append(step)
        self.losses.append(loss)
        if len(self.steps) > MOST_POINTS:
            del self.steps[1::2], self.losses[1::2]

    def mark_restart(self, step: int) -> None:
        del self.restarts[bisect_left(self.restarts, step) :]
        self.restarts.append(step)

    def _forget_from(self, step: int) -> None:
        if self.steps and step <= self.steps[-1]:
            kept = bisect_left(self.steps, step)
            del self.steps[kept:], self.losses[kept:]
            del self.restarts[bisect_left(self.restarts, step + 1) :]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width - LABEL_WIDTH - 1
        if len(self.steps) >= 2 and width >= 10:
            yield from self._lines(width)

    def _lines(self, width: int) -> Iterator[Text]:
        low, high = _range(self.losses)
        marked = {self._column(step, width): RESTART for step in self.restarts}
        if self.low_rank_from is not None:
            marked[self._column(self.low_rank_from, width)] = LOW_RANK
        for row, cells in enumerate(self._cells(width, low, high)):
            line = Text(no_wrap=True, overflow="crop")
            line.append(_label(row, self.height, low, high), style="dim")
            for column, cell in enumerate(cells):
                is_empty = cell == BLANK
                sign = marked[column] if is_empty and column in marked else chr(cell)
                line.append(sign, style="magenta" if column in marked else "cyan")
            yield line
        last = f"step {self.total_steps:,}"
        yield Text(f"{'':{LABEL_WIDTH}} 0{last:>{width - 1}}", style="dim", no_wrap=True)

    def _column(self, step: int, width: int) -> int:
        return min(step * width // max(self.total_steps, 1), width - 1)

    def _cells(self, width: int, low: float, high: float) -> list[list[int]]:
        cells = [[BLANK] * width for _ in range(self.height)]
        rows = self.height * 4
        for x, (least, greatest) in self._spans(width * 2).items():
            if least > high:  # the steep start is above the chart
                continue
            for y in range(_dot(greatest, low, high, rows), _dot(least, low, high, rows) + 1):
                cells[y // 4][x // 2] |= DOTS[y % 4][x % 2]
        return cells

    def _spans(self, columns: int) -> dict[int, tuple[float, float]]:
        """Return the lowest and highest loss of each column of dots. Lines join the points."""
        spans: dict[int, tuple[float, float]] = {}
        for x, loss in self._path(columns):
            least, greatest = spans.get(x, (loss, loss))
            spans[x] = min(least, loss), max(greatest, loss)
        return spans

    def _path(self, columns: int) -> Iterator[tuple[int, float]]:
        before_x, before = self._column(self.steps[0], columns), self.losses[0]
        for step, loss in zip(self.steps, self.losses, strict=True):
            x = self._column(step, columns)
            for between in range(before_x + 1, x + 1):
                yield between, before  # so that neighbours touch
                before += (loss - before) / (x - between + 1)
                yield between, before
            yield x, loss
            before_x, before = x, loss


def _range(losses: Sequence[float]) -> tuple[float, float]:
    settled = losses[ceil(len(losses) * SETTLED) :] if len(losses) > 20 else losses
    low, high = min(losses), max(settled)
    return low, high if high > low else low + 1.0


def _dot(loss: float, low: float, high: float, rows: int) -> int:
    """Return the row of a loss, from the top. A loss outside the range is on its edge."""
    share = min(max((loss - low) / (high - low), 0.0), 1.0)
    return round((1 - share) * (rows - 1))


def _label(row: int, height: int, low: float, high: float) -> str:
    loss = {0: high, height - 1: low}.get(row)
    return f"{'' if loss is None else f'{loss:.3f}':>{LABEL_WIDTH}} "
