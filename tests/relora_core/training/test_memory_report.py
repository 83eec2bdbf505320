import json
from pathlib import Path

import pytest
import torch

from relora_core.distributed.world import World
from relora_core.events import MemoryMeasured, TrainFinished
from relora_core.training.memory_report import REPORT, MemoryReport
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder

GIB = 1024**3


class Measured(World):
    """A rank whose device had these peaks."""

    peaks: list[int]

    def reset_peak_memory(self) -> None:
        self.peaks.append(0)

    def peak_memory_bytes(self) -> int:
        return self.peaks[-1]


@pytest.fixture
def world() -> Measured:
    world = Measured(rank=0, size=1, device=torch.device("cpu"))
    object.__setattr__(world, "peaks", [9 * GIB])  # of the probe before the first phase
    return world


def test_each_phase_has_its_own_peak_beside_the_estimate(
    world: Measured, tmp_path: Path, recorder: Recorder
) -> None:
    report = MemoryReport(tmp_path, world, recorder)
    report.end(0)  # nothing began yet
    report.begin(0, "warm_start", micro_batch_size=8, estimated=4 * GIB)
    world.peaks[-1] = 3 * GIB
    report.end(100)
    report.begin(100, "low_rank", micro_batch_size=16, estimated=None)
    world.peaks[-1] = 2 * GIB
    report.end(300)
    first, second = recorder.of(MemoryMeasured)
    assert str(first) == (
        "step 100: peak memory of warm start 3.00 GiB, 75% of the estimate, 8 at once"
    )
    assert str(second) == "step 300: peak memory of low rank 2.00 GiB, 16 at once"
    assert report.peak_bytes == 3 * GIB
    written = json.loads((tmp_path / REPORT).read_text())
    assert [each["phase"] for each in written] == ["warm_start", "low_rank"]
    assert [(each["from_step"], each["step"]) for each in written] == [(0, 100), (100, 300)]
    assert written[0]["estimated_bytes"] == 4 * GIB


def test_a_run_reports_each_of_its_phases(
    make_spec: MakeSpec, tmp_path: Path, cache: Path, recorder: Recorder
) -> None:
    train(make_spec(), tmp_path, recorder, lambda: False, cache=cache)
    phases = [(e.phase, e.from_step, e.step) for e in recorder.of(MemoryMeasured)]
    assert phases == [("warm_start", 0, 4), ("low_rank", 4, 12)]
    [finished] = recorder.of(TrainFinished)
    peaks = [event.peak_bytes for event in recorder.of(MemoryMeasured)]
    assert finished.peak_memory_bytes == max(peaks) > 2**20
