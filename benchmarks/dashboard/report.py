"""The dashboard's table in docs/performance.md, from the committed results.

`python -m benchmarks.dashboard.report` writes the table again without a new measurement.
"""

from collections.abc import Iterator

from benchmarks.dashboard.figures import GOALS
from benchmarks.dashboard.results import FILE, DashboardResults
from benchmarks.goals import MET_OR_MISSED
from benchmarks.report import PAGE, with_measured
from relora_core.estimate.text_table import text_table

MARKERS = "dashboard"
NOT_MEASURED = "Not measured."
COLUMNS = ["figure", "at most", "measured", MET_OR_MISSED, "of the goal"]


def write_page() -> None:
    PAGE.write_text(with_measured(PAGE.read_text(), measured_part(read_results()), MARKERS))


def read_results() -> DashboardResults | None:
    return DashboardResults.read(FILE) if FILE.exists() else None


def measured_part(results: DashboardResults | None) -> str:
    return "\n".join(_lines(results)) if results else NOT_MEASURED


def as_text(results: DashboardResults) -> str:
    """Return the table as text for the terminal."""
    return text_table(COLUMNS, _rows(results))


def _rows(results: DashboardResults) -> list[list[str]]:
    return [[*goal.cells(results), f"{goal.number(results) / goal.most:.0%}"] for goal in GOALS]


def _lines(results: DashboardResults) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "| --- | ---: | ---: | --- | ---: |"
    for row in _rows(results):
        yield f"| {' | '.join(row)} |"
    yield ""
    machine = results.machine
    yield (
        f"{machine.cpu}: {machine.cores} cores for the browser, the server and the trainer's "
        f"reports, {machine.memory_gib} GiB; Python {machine.python}, SQLite, commit "
        f"{machine.commit}, {results.measured_at:%Y-%m-%d}, load average before "
        f"{machine.load_average}, after {results.load_average_after}; {results.seconds:.0f} s. "
        f"Medians of {len(results.drawn_milliseconds)} runs; a longest task of 0 ms was shorter "
        f"than 50 ms."
    )


if __name__ == "__main__":
    write_page()
