"""The metrics of jobs: curves with few points for a chart, or every point as CSV."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, Field, WithJsonSchema

from jobs.metrics.store import Steps, TableRow
from jobs.schemas.body import MAX_SAFE_INTEGER
from jobs.schemas.metric_names import METRICS, OF_PARTS, is_known
from jobs.schemas.metrics import JobMetrics, Metrics, MetricsOfJobs
from relora_core.suggestions import no_such
from service.auth.access import Access, CallerDep
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.limits import MAX_NAME
from service.routes.dependencies import Id, MetricsDep

router = APIRouter(prefix="/v1", tags=["metrics"], route_class=CallerRoute)

CSV = "text/csv"
ROWS_A_CHUNK = 1000
MAX_JOBS = 100

MAX_NAMES = 2000  # characters


def _known(asked: list[str]) -> list[str]:
    if sum(map(len, asked)) > MAX_NAMES:
        raise ValueError(f"must have at most {MAX_NAMES} characters")
    names = [name.strip() for part in asked for name in part.split(",")]
    for name in names:
        if not is_known(name):
            raise ValueError(no_such("metric", name, METRICS))
    return names


_ANY = f"({'|'.join(OF_PARTS)})/[A-Za-z0-9][A-Za-z0-9_-]*|{'|'.join(METRICS)}"
Names = Annotated[
    list[str] | None,
    AfterValidator(lambda asked: asked and _known(asked)),
    WithJsonSchema(
        {"type": "string", "pattern": f"^({_ANY})(,({_ANY}))*$", "maxLength": MAX_NAMES}
    ),
    Query(
        description="Separated by commas; default: all that were measured. Of a validation set or "
        "a source of a mixture: `validation_loss/NAME`, `epochs/NAME`."
    ),
]


async def _jobs_of_caller(
    request: Request,
    caller: CallerDep,
    job: Annotated[
        list[Annotated[str, Field(max_length=MAX_NAME)]],
        Query(min_length=1, max_length=MAX_JOBS, description="The ids of the jobs."),
    ],
) -> list[str]:
    """Return the ids without repetitions. Raise `JobNotFound` if one is of another project."""
    access = cast(Access, request.app.state.access)
    for job_id in job:
        await access.check_job(job_id, caller)
    return list(dict.fromkeys(job))


JobsDep = Annotated[list[str], Depends(_jobs_of_caller)]
MaxPoints = Annotated[int, Query(ge=10, le=10_000, description="Of each curve.")]


def _steps(
    from_step: Annotated[
        int | None, Query(ge=0, le=MAX_SAFE_INTEGER, description="The first step.")
    ] = None,
    to_step: Annotated[
        int | None, Query(ge=0, le=MAX_SAFE_INTEGER, description="The last step.")
    ] = None,
) -> Steps:
    return Steps(from_step, to_step)


StepsDep = Annotated[Steps, Depends(_steps)]


@router.get(
    "/jobs/{job_id}/metrics", summary="Read the metrics of a job", responses=documented(404, 422)
)
def get_metrics(
    job_id: Id,
    metrics: MetricsDep,
    steps: StepsDep,
    names: Names = None,
    max_points: MaxPoints = 1000,
) -> Metrics:
    """Return curves of at most `max_points` points each, and the steps to mark on them.

    A longer curve is cut into parts of equal length. Each part gives its lowest and its highest
    point, each at its own step. So no peak is lost, and every value was really measured. Such a
    curve also has `means`, to draw it smoothed. When an attempt resumes or is rewound, it repeats
    some steps; their new values replace the old ones.
    """
    return metrics.get(job_id, names=names, steps=steps, max_points=max_points)


@router.get("/metrics", summary="Read the metrics of several jobs", responses=documented(404, 422))
def get_metrics_of_jobs(
    jobs: JobsDep,
    metrics: MetricsDep,
    steps: StepsDep,
    names: Names = None,
    max_points: MaxPoints = 1000,
) -> MetricsOfJobs:
    """Return the curves of several jobs, to compare them in one chart. Each is as of one job."""
    found = (
        JobMetrics(
            job_id=job_id,
            **dict(metrics.get(job_id, names=names, steps=steps, max_points=max_points)),
        )
        for job_id in jobs
    )
    return MetricsOfJobs(items=list(found))


@router.get(
    "/jobs/{job_id}/metrics.csv",
    summary="Download the metrics of a job as CSV",
    response_class=Response,
    responses={
        200: {"content": {CSV: {"schema": {"type": "string"}}}, "description": "All points."},
        **documented(404, 422),
    },
)
def get_metrics_csv(job_id: Id, metrics: MetricsDep, names: Names = None) -> Response:
    """Return every point, in one row for each step.

    A cell is empty if the metric was not measured at that step, and `NaN` if it was not finite.
    """
    columns = metrics.names(job_id, names)
    return StreamingResponse(
        _chunks(columns, metrics.table(job_id, columns)),
        media_type=CSV,
        headers={"Content-Disposition": f'attachment; filename="{job_id}.csv"'},
    )


def _chunks(columns: Sequence[str], rows: Iterator[TableRow]) -> Iterator[str]:
    lines = chain([",".join(("step", *columns))], (_line(columns, row) for row in rows))
    while chunk := list(islice(lines, ROWS_A_CHUNK)):
        yield "\n".join((*chunk, ""))


def _line(columns: Sequence[str], row: TableRow) -> str:
    cells = (_cell(row.values[name]) if name in row.values else "" for name in columns)
    return ",".join((str(row.step), *cells))


def _cell(value: float | None) -> str:
    return "NaN" if value is None else repr(value)
