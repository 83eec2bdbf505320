"""The MLflow tracker: one run for all attempts of a job, found by a tag."""

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from urllib3.util import connection

from jobs.locations.servers import addresses_of
from jobs.schemas.trackers import MlflowTracker
from worker.trackers.points import AppendOnly, ResumedAt, TrackedPoint
from worker.trackers.tracker import Outcome, Tracked

JOB_TAG = "relora.job_id"
MAX_METRICS, MAX_PARAMS, MAX_PARAM_LENGTH = 1000, 100, 500  # limits of one request, on any server
STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MlflowRun:
    def __init__(self, spec: MlflowTracker, run: Tracked) -> None:
        os.environ["MLFLOW_ALLOW_HTTP_REDIRECTS"] = "false"  # a redirect may lead to any server
        if run.only_public_servers:
            _connect_to_public_addresses_only()
        self._client = MlflowClient(tracking_uri=spec.uri)
        experiment_id = self._experiment(spec.experiment)
        found = self._find(experiment_id, run.job_id) or self._create(experiment_id, run)
        self._id: str = found.info.run_id
        self._client.update_run(self._id, status="RUNNING")
        # The last point of each curve.
        metrics = self._client.get_run(self._id).data.to_proto().metrics
        self._new = AppendOnly({metric.key: metric.step for metric in metrics})

    def draw(self, news: Sequence[TrackedPoint | ResumedAt]) -> None:
        metrics = (
            Metric(curve, value, int(new.time.timestamp() * 1000), new.step)
            for new in news
            if isinstance(new, TrackedPoint)
            for curve, value in self._new.of(new).items()
        )
        while batch := list(islice(metrics, MAX_METRICS)):
            self._client.log_batch(self._id, metrics=batch)

    def finish(self, outcome: Outcome) -> None:
        self._client.set_terminated(self._id, STATUS[outcome])

    def _experiment(self, name: str) -> str:
        if (experiment := self._client.get_experiment_by_name(name)) is not None:
            return str(experiment.experiment_id)
        try:
            return str(self._client.create_experiment(name))
        except MlflowException:  # another job may have just created it
            if (experiment := self._client.get_experiment_by_name(name)) is None:
                raise
            return str(experiment.experiment_id)

    def _find(self, experiment_id: str, job_id: str) -> Run | None:
        query = f"tags.`{JOB_TAG}` = '{job_id}'"
        runs = self._client.search_runs([experiment_id], query, max_results=1)
        return runs[0] if runs else None

    def _create(self, experiment_id: str, run: Tracked) -> Run:
        tags = {**run.labels, JOB_TAG: run.job_id}
        created = self._client.create_run(experiment_id, tags=tags, run_name=run.name)
        params = (Param(name, value) for name, value in _flat(run.spec))
        while batch := list(islice(params, MAX_PARAMS)):
            self._client.log_batch(created.info.run_id, params=batch)
        return created


def _connect_to_public_addresses_only() -> None:
    """Make all later connections of this process go to public addresses only.

    Each connection resolves its host name once, checks the address, and connects to that address.
    """
    connect = connection.create_connection

    def connect_checked(address: tuple[str, int], *options: Any, **named: Any) -> socket.socket:
        public = addresses_of(*address, only_public=True)
        return connect((public[0], address[1]), *options, **named)

    connection.create_connection = connect_checked


def _flat(spec: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield flat names and values: `{"method": {"rank": 4}}` becomes `method.rank`, `4`."""
    for name, value in spec.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            yield prefix + name, text[:MAX_PARAM_LENGTH]
