"""The API's table in docs/performance.md, from the committed results.

`python -m benchmarks.api.report` writes the table again without a new measurement.
"""

from collections.abc import Iterator

from benchmarks.api.figures import GOALS
from benchmarks.api.results import FILE, ApiResults
from benchmarks.goals import MET_OR_MISSED
from benchmarks.report import PAGE, with_measured
from relora_core.estimate.text_table import text_table

MARKERS = "api"
NOT_MEASURED = "Not measured."


def write_page() -> None:
    PAGE.write_text(with_measured(PAGE.read_text(), measured_part(read_results()), MARKERS))


def read_results() -> ApiResults | None:
    return ApiResults.read(FILE) if FILE.exists() else None


def measured_part(results: ApiResults | None) -> str:
    return "\n".join(_lines(results)) if results else NOT_MEASURED


def as_text(results: ApiResults) -> str:
    """Return the table as text for the terminal."""
    return text_table(
        ["figure", "at most", "measured", MET_OR_MISSED], [goal.cells(results) for goal in GOALS]
    )


def _lines(results: ApiResults) -> Iterator[str]:
    yield f"| figure | at most | measured | {MET_OR_MISSED} |"
    yield "| --- | ---: | ---: | --- |"
    for goal in GOALS:
        yield f"| {' | '.join(goal.cells(results))} |"
    yield ""
    machine, steady, archive = results.machine, results.progress, results.archive
    yield (
        f"{machine.cpu}: {machine.cores} cores for the server and who asks it, "
        f"{machine.memory_gib} GiB; Python {machine.python}, SQLite, commit {machine.commit}, "
        f"{results.measured_at:%Y-%m-%d}, load average before {machine.load_average}, after "
        f"{results.load_average_after}; {results.seconds:.0f} s. {steady.times.count:,} answers at "
        f"{steady.per_second:.0f} a second, the longest after {steady.times.longest:.0f} ms; "
        f"{results.listeners.events} events to {results.listeners.listeners:,} listeners; "
        f"{archive.bytes / 1e9:.1f} GB in {archive.seconds:.1f} s."
    )


if __name__ == "__main__":
    write_page()
