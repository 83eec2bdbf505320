"""Runs of MLflow in a real store."""

from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from urllib3.util import connection

from jobs.locations import servers
from jobs.schemas.server_url import AddressRefused
from jobs.schemas.trackers import MlflowTracker
from tests.worker.trackers.conftest import CURVE, FIRST, SECOND
from worker.trackers import mlflow
from worker.trackers.mlflow import MlflowRun
from worker.trackers.tracker import Tracked

pytestmark = [
    pytest.mark.integration,
    # MLflow's own store causes this warning of SQLAlchemy.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]


def test_two_attempts_are_one_run_without_the_steps_that_were_repeated(
    tracked: Callable[..., Tracked], tmp_path: Path
) -> None:
    spec = MlflowTracker(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="relora")
    for number, (news, outcome) in enumerate(((FIRST, "stopped"), (SECOND, "finished")), start=1):
        tracker = MlflowRun(spec, tracked(spec, attempt=number))
        tracker.draw(news)
        tracker.finish(outcome)  # type: ignore[arg-type] # a valid outcome

    client = MlflowClient(tracking_uri=spec.uri)
    experiment = client.get_experiment_by_name("relora")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == list(CURVE.items())
    assert (run.info.run_name, run.info.status) == ("tiny", "FINISHED")
    assert run.data.tags["relora.job_id"] == "job_1"
    assert run.data.params == {
        "name": "tiny",
        "method.name": "relora",
        "method.rank": "4",
        "notes": "[]",
    }


def test_a_server_is_connected_to_at_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does not matter which address the name had when the job was submitted."""
    connected: list[tuple[str, int]] = []
    addresses: list[str] = []
    monkeypatch.setattr(connection, "create_connection", lambda at, *_: connected.append(at))
    monkeypatch.setattr(servers, "resolve", lambda *_: addresses)
    mlflow._connect_to_public_addresses_only()

    addresses[:] = ["8.8.8.8"]
    connection.create_connection(("mlflow.example", 443))
    addresses[:] = ["169.254.169.254"]
    with pytest.raises(AddressRefused):
        connection.create_connection(("mlflow.example", 443))
    assert connected == [("8.8.8.8", 443)]
