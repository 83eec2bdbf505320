"""Metrics over HTTP: curves and markers as JSON, every point as CSV."""

from collections.abc import Callable

import httpx
import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job
from relora_core.events import Evaluated, Merged
from tests.fixtures.reports import step_finished

Report = Callable[..., None]


def test_the_metrics_of_a_job_are_curves_and_markers(
    http: httpx.Client, running: Job, report: Report
) -> None:
    restart = Merged(step=1, restart=1, layers=1, update_norm=1, weight_norm=1, residual_norm=0)
    report(running, restart, step_finished(2, loss=float("nan")), step_finished(3, loss=3.5))
    answer = http.get(f"/v1/jobs/{running.id}/metrics", params={"names": "loss"})
    assert answer.status_code == 200
    assert answer.json() == {
        "curves": [
            {
                "name": "loss",
                "description": "Training loss; the mean over the steps since the point before.",
                "num_points": 3,
                "steps": [1, 2, 3],
                "values": [4.0, None, 3.5],
                "means": None,
            }
        ],
        "markers": [{"step": 1, "kind": "restart", "attempt": 1, "event": 5}],
    }


def test_all_that_was_measured_comes_without_names(http: httpx.Client, running: Job) -> None:
    curves = http.get(f"/v1/jobs/{running.id}/metrics").json()["curves"]
    assert [curve["name"] for curve in curves] == [
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_seen",
        "tokens_per_second",
        "time",
    ]


@pytest.mark.parametrize("query", ["names=loss,grad_norm", "names=loss&names=grad_norm"])
def test_names_choose_and_steps_cut(
    http: httpx.Client, running: Job, report: Report, query: str
) -> None:
    report(running, *(step_finished(n) for n in range(2, 50)))
    answer = http.get(f"/v1/jobs/{running.id}/metrics?{query}&from_step=5&to_step=40&max_points=10")
    curves = answer.json()["curves"]
    assert [curve["name"] for curve in curves] == ["loss", "grad_norm"]
    for curve in curves:
        assert curve["num_points"] == 36
        assert len(curve["steps"]) <= 10
        assert [curve["steps"][0], curve["steps"][-1]] == [5, 40]


@pytest.mark.parametrize("path", ["metrics", "metrics.csv"])
def test_a_name_that_is_no_metric_is_refused(http: httpx.Client, running: Job, path: str) -> None:
    answer = http.get(f"/v1/jobs/{running.id}/{path}", params={"names": "loss,los"})
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["path"] == "names"
    assert "no metric 'los'; did you mean `loss`?" in problem["message"]


@pytest.mark.parametrize("path", ["metrics", "metrics.csv"])
def test_a_job_that_is_not_there_has_no_metrics(http: httpx.Client, path: str) -> None:
    assert http.get(f"/v1/jobs/job_none/{path}").json()["code"] == "job_not_found"


def test_csv_has_every_point(http: httpx.Client, running: Job, report: Report) -> None:
    report(running, step_finished(2, loss=float("inf")), Evaluated(step=2, loss=3.25, tokens=1))
    answer = http.get(f"/v1/jobs/{running.id}/metrics.csv?names=validation_loss,loss")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.text == "step,loss,validation_loss\n1,4.0,\n2,NaN,3.25\n"


def test_csv_of_a_job_without_points_is_a_heading(http: httpx.Client, job: Job) -> None:
    assert http.get(f"/v1/jobs/{job.id}/metrics.csv").text == "step\n"


def test_several_jobs_come_in_one_answer_in_the_order_of_the_question(
    http: httpx.Client, backends: Backends, running: Job, report: Report
) -> None:
    report(running, step_finished(2), step_finished(3))
    other = backends.store.create(running.spec)
    query = [*(("job", one) for one in (other.id, running.id, other.id)), ("names", "loss")]
    answer = http.get("/v1/metrics", params=[*query, ("from_step", "2")])
    assert answer.status_code == 200
    first, second = answer.json()["items"]
    assert first == {"job_id": other.id, "curves": [], "markers": []}
    assert second["job_id"] == running.id
    assert second["curves"][0]["steps"] == [2, 3]


def test_an_answer_of_several_jobs_needs_all_of_them(http: httpx.Client, running: Job) -> None:
    answer = http.get("/v1/metrics", params={"job": [running.id, "job_none"]})
    assert answer.json()["code"] == "job_not_found"
    for jobs in ([], ["job_none"] * 101):
        assert http.get("/v1/metrics", params={"job": jobs}).status_code == 422
