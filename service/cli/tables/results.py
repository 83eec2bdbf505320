"""Curves and generated texts of jobs, as tables for a terminal."""

from collections.abc import Callable, Sequence

from rich.text import Text

from jobs.schemas.generations import Generation
from jobs.schemas.metrics import Curve
from service.cli.tables.table import Listing, line

MISSING = "-"


def metric_table(curves: Sequence[Curve]) -> Listing:
    """Return a table of the lowest and highest value of each curve.

    A curve with fewer points than were measured still has these two points.
    """
    rows = Listing("points", "least", "greatest", first="metric", least="points")
    for curve in curves:
        rows.add_row(
            curve.name, f"{curve.num_points:,}", _extreme(curve, min), _extreme(curve, max)
        )
    return rows


def _extreme(curve: Curve, of: Callable[[list[tuple[float, int]]], tuple[float, int]]) -> str:
    pairs = zip(curve.values, curve.steps, strict=True)
    finite = [(value, step) for value, step in pairs if value is not None]
    if not finite:
        return MISSING
    value, step = of(finite)
    return f"{value:,.6g} (step {step:,})"


def generation_table(items: Sequence[Generation]) -> Listing:
    names = ("status", "step", "prompt", "text")
    rows = Listing(*names, giving_way="prompt text", least="step status")
    for item in items:
        rows.add_row(
            item.id,
            item.status,
            f"{item.step:,}",
            line(item.request.prompt),
            _answer(item),
        )
    return rows


def _answer(generation: Generation) -> Text:
    if generation.error:
        return line(generation.error.message, style="red")
    return line(generation.result.text if generation.result else MISSING)
