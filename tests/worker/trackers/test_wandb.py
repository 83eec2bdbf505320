"""Runs of Weights & Biases, offline, read back from the file that `wandb sync` sends."""

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2 as protocol

from jobs.schemas.trackers import WandbTracker
from tests.worker.trackers.conftest import FIRST, NOW, News, points
from worker.trackers.points import ResumedAt, TrackedPoint
from worker.trackers.tracker import Tracked
from worker.trackers.wandb import WandbRun

pytestmark = pytest.mark.integration

HEADER, BLOCK = 7, 32 * 1024
WHOLE, LAST = 1, 4
SPEC = WandbTracker(project="pretraining", mode="offline")


def records(folder: Path) -> list[Any]:
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    found, whole = [], b""
    for ends, part in _parts(file.read_bytes()):
        whole += part
        if ends:
            found.append(protocol.Record.FromString(whole))  # type: ignore[attr-defined] # untyped
            whole = b""
    return found


def _parts(log: bytes) -> Iterator[tuple[bool, bytes]]:
    """Yield the parts of a log in the format of LevelDB.

    The log has blocks. In a block, each part has a checksum, a length and a kind.
    """
    position = len(":W&B") + 3
    while position + HEADER <= len(log):
        if BLOCK - position % BLOCK < HEADER:  # a header is never split between two blocks
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", log, position)
        position += HEADER
        yield kind in (WHOLE, LAST), log[position : position + length]
        position += length


def test_a_run_has_the_jobs_id_its_spec_and_its_curves(tracked: Callable[..., Tracked]) -> None:
    run = tracked(SPEC)
    tracker = WandbRun(SPEC, run)
    tracker.draw(FIRST)
    rewound: News = [ResumedAt(3, NOW), TrackedPoint(4, NOW, {"train/loss": 9.0}), *points(5)]
    tracker.draw(rewound)
    tracker.finish("finished")

    found = records(run.reports)
    (described,) = [record.run for record in found if record.HasField("run")]
    assert (described.run_id, described.project) == ("job_1", "pretraining")
    assert list(described.tags) == ["team:research"]
    config = {item.key: json.loads(item.value_json) for item in described.config.update}
    assert config["method"] == {"name": "relora", "rank": 4}

    curve = {}
    for record in found:
        values = {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        if "train/loss" in values:
            curve[values["_step"]] = values["train/loss"]
    assert curve == {1: 1.0, 2: 0.5, 3: 1 / 3, 4: 0.25, 5: 0.2}
    (exit_record,) = [record.exit for record in found if record.HasField("exit")]
    assert exit_record.exit_code == 0
