"""A job's curves, on the command line."""

import json
from collections.abc import Callable

import pytest

from jobs.schemas.job import Job
from tests.fixtures.reports import step_finished
from tests.service.cli.conftest import Relora

Report = Callable[..., None]


@pytest.fixture
def measured(running: Job, report: Report) -> Job:
    """Of losses 4.0, 5.0 and 3.5 at the steps 1 to 3."""
    losses = {2: 5.0, 3: 3.5}
    report(running, *(step_finished(n).model_copy(update={"loss": losses[n]}) for n in losses))
    return running


def test_each_curve_is_told_by_its_least_and_its_greatest(relora: Relora, measured: Job) -> None:
    _, row = relora("jobs", "metrics", measured.id, "--name", "loss").stdout.splitlines()
    assert row.split() == ["loss", "3", "3.5", "(step", "3)", "5", "(step", "2)"]
    _, row = relora(
        "jobs", "metrics", measured.id, "--name", "loss", "--to-step", "2"
    ).stdout.splitlines()
    assert row.split() == ["loss", "2", "4", "(step", "1)", "5", "(step", "2)"]


def test_every_point_is_a_row_of_csv(relora: Relora, measured: Job) -> None:
    result = relora("jobs", "metrics", measured.id, "--name", "loss", "--csv")
    assert result.stdout == "step,loss\n1,4.0\n2,5.0\n3,3.5\n"


def test_curves_are_one_document_in_json(relora: Relora, measured: Job) -> None:
    found = json.loads(relora("jobs", "metrics", measured.id, "--from-step", "2", "--json").stdout)
    (loss,) = (curve for curve in found["curves"] if curve["name"] == "loss")
    assert (loss["steps"], loss["values"]) == ([2, 3], [5.0, 3.5])


@pytest.mark.parametrize("other", [("--json",), ("--from-step", "0"), ("--to-step", "9")])
def test_csv_goes_with_names_alone(relora: Relora, job: Job, other: tuple[str, ...]) -> None:
    result = relora("jobs", "metrics", job.id, "--csv", *other)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--name" in result.stderr


def test_an_unknown_curve_is_refused_with_those_there_are(relora: Relora, job: Job) -> None:
    result = relora("jobs", "metrics", job.id, "--name", "los")
    assert result.exit_code == 2
    assert "no metric 'los'; did you mean `loss`?" in result.stderr
