"""Between two reports the host gives the device work and asks it nothing."""

import itertools
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from relora_core.events import StepFinished, TrainFinished
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder

aten = torch.ops.aten
# What reads values on the host; of a GPU's tensor, each waits for all that is queued there.
READS = {aten._local_scalar_dense, aten.equal, aten.is_nonzero, aten.masked_select, aten.nonzero}


class Reads(TorchDispatchMode):
    """Notes each place that reads a value: what CUDA's own check finds, on any device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket in READS:
            self.places.append("".join(traceback.format_stack(limit=6)))
        return func(*args, **(kwargs or {}))


class Run:
    def __init__(self, make_spec: MakeSpec, workdir: Path, cache: Path) -> None:
        self.make_spec = make_spec
        self.workdir = workdir
        self.cache = cache

    def __call__(
        self, begin: Callable[[], object], end: Callable[[], object], **training: Any
    ) -> Recorder:
        """Train 30 steps without a report; `begin` comes before step 5 and `end` before step 25."""
        spec = self.make_spec(
            training={"steps": 30, "log_every": 30, "micro_batch_size": 2, **training},
            method={"warm_start_steps": 2, "reset_every": 30, "dropout": 0.1},
            checkpoint={"every": 50},
        )
        recorder, calls = Recorder(), itertools.count()

        def stop_requested() -> bool:  # asked before each step
            match next(calls):
                case 5:
                    begin()
                case 25:
                    end()
            return False

        train(spec, self.workdir, recorder, stop_requested, cache=self.cache)
        return recorder


@pytest.fixture
def run(make_spec: MakeSpec, tmp_path: Path, cache: Path) -> Run:
    return Run(make_spec, tmp_path, cache)


@pytest.mark.slow
@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_twenty_steps_read_no_value(run: Run, *, gradient_checkpointing: bool) -> None:
    reads = Reads()
    watching = ExitStack()
    run(
        lambda: watching.enter_context(reads),
        watching.close,
        gradient_checkpointing=gradient_checkpointing,
    )
    assert reads.places == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_twenty_steps_on_a_gpu_wait_for_nothing(
    precision: str, run: Run, forbid_sync: Callable[[], None]
) -> None:
    recorder = run(
        forbid_sync,
        lambda: torch.cuda.set_sync_debug_mode("default"),
        precision=precision,
    )
    assert recorder.of(StepFinished)[0].step == 30
    assert recorder.of(TrainFinished)[0].skipped_steps == 0
