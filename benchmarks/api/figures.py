"""The figures with a goal. Each is computed from the results."""

from statistics import median

from benchmarks.api.results import ApiResults
from benchmarks.goals import Goal

GOALS: tuple[Goal[ApiResults], ...] = (
    Goal(
        "metrics_p95_ms",
        "metrics of a job with 1,000,000 points, `max_points=1000`: p95",
        100,
        "ms",
        lambda results: results.metrics.times.p95,
    ),
    Goal(
        "job_page_p95_ms",
        "page of 50 jobs, 10,000 stored: p95",
        30,
        "ms",
        lambda results: results.job_pages.times.p95,
    ),
    Goal(
        "progress_p99_ms",
        "progress, 200 requests/s for 30 s: p99",
        50,
        "ms",
        lambda results: results.progress.times.p99,
    ),
    Goal("progress_errors", "the same: errors", 0, "", lambda results: results.progress.errors),
    Goal(
        "listeners_p95_ms",
        "1,000 listeners of one job, from event to listener: p95",
        1000,
        "ms",
        lambda results: results.listeners.times.p95,
    ),
    Goal(
        "listeners_missed",
        "the same: events that a listener missed",
        0,
        "",
        lambda results: results.listeners.missed,
    ),
    Goal(
        "listeners_server_mb",
        "the same: memory of the server",
        400,
        "MB",
        lambda results: results.listeners.peak_megabytes,
    ),
    Goal(
        "model_tar_growth_mb",
        "`model.tar` of 5 GB: growth of the server's memory",
        64,
        "MB",
        lambda results: results.archive.growth_megabytes,
    ),
    Goal(
        "import_s",
        "import of the server application: median",
        1.5,
        "s",
        lambda results: median(results.imports.seconds),
    ),
    Goal("torch_imported", "torch imported with it", 0, "", lambda results: results.imports.torch),
)


def numbers(results: ApiResults) -> dict[str, float]:
    return {goal.key: round(goal.number(results), 3) for goal in GOALS}
