"""The figures with a goal. Each is the median of the runs."""

from statistics import median

from benchmarks.dashboard.results import DashboardResults
from benchmarks.goals import Goal

GOALS: tuple[Goal[DashboardResults], ...] = (
    Goal(
        "drawn_ms",
        "from navigation to the loss curve drawn, empty cache, 100,000 stored points",
        1000,
        "ms",
        lambda results: median(results.drawn_milliseconds),
    ),
    Goal(
        "busy_percent",
        "20 updates a second for a minute: time that the main thread is busy",
        40,
        "%",
        lambda results: 100 * median(load.busy_share for load in results.loads),
    ),
    Goal(
        "longest_task_ms",
        "the same: longest task",
        100,
        "ms",
        lambda results: median(load.longest_task_milliseconds for load in results.loads),
    ),
    Goal(
        "transferred_kb",
        "scripts, styles, fonts and icons of a first visit, as transferred",
        200,
        "kB",
        lambda results: median(results.transferred_bytes) / 1000,
    ),
    Goal(
        "zoom_p95_ms",
        "job of 1,000,000 points, from the end of a zoom to its own points drawn: p95 of 20",
        200,
        "ms",
        lambda results: median(times.p95 for times in results.zooms),
    ),
    Goal(
        "build_s",
        "`make demo` from nothing: longer by",
        60,
        "s",
        lambda results: median(results.build_seconds),
    ),
    Goal(
        "second_text_s",
        "second text of a small model, 40 tokens",
        2,
        "s",
        lambda results: median(results.second_text_seconds),
    ),
)


def numbers(results: DashboardResults) -> dict[str, float]:
    return {goal.key: round(goal.number(results), 3) for goal in GOALS}
