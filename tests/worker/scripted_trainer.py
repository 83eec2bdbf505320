"""A fake trainer without PyTorch, for tests of the code around the trainer.

It does what `python -m relora_core train` does in a workdir: it resumes from the newest checkpoint
that verifies, appends events, saves checkpoints with manifests and touches its heartbeat file. It
saves and exits when there is a stop file, and exits when its supervisor is gone. The weights of
each step are computed from those of the step before, and the first ones from the seed. So a run
that resumed wrongly ends with other weights than `weights(seed, steps)`.

`ScriptedLauncher` starts it. `celery -A tests.worker.scripted_worker worker` is a worker with that
launcher.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relora_core.checkpoint.manifest import verify, write_manifest
from relora_core.errors import CheckpointError
from relora_core.events import (
    CheckpointDeleted,
    CheckpointSaved,
    Emit,
    Exported,
    StepFinished,
    TrainFinished,
    TrainStarted,
    TrainStopped,
)
from relora_core.workdir.event_log import EventLog, log_event
from relora_core.workdir.files import (
    CHECKPOINTS,
    EVENTS,
    FINAL,
    HEARTBEAT,
    SPEC,
    STOP,
    checkpoint_path,
    step_folders,
)
from worker.attempt.workdir import Workdir
from worker.launchers.process import TiedProcess
from worker.launchers.watchdog import start_watchdog

WEIGHTS = "model-00001.safetensors"
TOKENS_PER_STEP = 100


@dataclass(frozen=True)
class ScriptedLauncher:
    """A launcher of the scripted trainer. It always starts one process."""

    step_seconds: float = 0.01

    def launch(self, workdir: Workdir, *, environ: Mapping[str, str], **_: object) -> TiedProcess:
        command = [sys.executable, __file__, str(workdir.root)]
        command += ["--step-seconds", str(self.step_seconds)]
        return TiedProcess(command, environ=environ, cwd=workdir.empty, log=workdir.log)


def weights(seed: int, steps: int) -> str:
    """Return the weights of an uninterrupted run after `steps` steps."""
    now = _first(seed)
    for step in range(1, steps + 1):
        now = _next(now, step)
    return now


def _first(seed: int) -> str:
    return hashlib.sha256(f"seed {seed}".encode()).hexdigest()


def _next(before: str, step: int) -> str:
    return hashlib.sha256(f"{before} step {step}".encode()).hexdigest()


def _loss(now: str) -> float:
    return 1 + int(now[:4], 16) / 0xFFFF


class _Run:
    def __init__(self, workdir: Path, emit: Emit) -> None:
        self._spec: dict[str, Any] = json.loads((workdir / SPEC).read_text())
        self._workdir = workdir
        self._checkpoints = workdir / CHECKPOINTS
        self._emit = emit
        self._steps: int = self._spec["training"]["steps"]
        self._every: int = self._spec["checkpoint"]["every"]
        self.step, self._weights = self._resumed()

    def train(self, step_seconds: float) -> None:
        self._started()
        while self.step < self._steps:
            (self._workdir / HEARTBEAT).touch()
            if (self._workdir / STOP).exists():
                self._save()
                self._emit(TrainStopped(step=self.step))
                return
            time.sleep(step_seconds)
            self.step += 1
            self._weights = _next(self._weights, self.step)
            self._report()
            if self.step % self._every == 0 or self.step == self._steps:
                self._save()
        self._finish()

    def _resumed(self) -> tuple[int, str]:
        for folder in reversed(step_folders(self._checkpoints).values()):
            try:
                return verify(folder).step, (folder / WEIGHTS).read_text()
            except CheckpointError:
                shutil.rmtree(folder)
        return 0, _first(self._spec["training"]["seed"])

    def _started(self) -> None:
        self._emit(
            TrainStarted(
                step=self.step,
                total_steps=self._steps,
                parameters=64,
                tokens_per_step=TOKENS_PER_STEP,
                world_size=1,
                device="cpu",
            )
        )

    def _report(self) -> None:
        if self.step % self._spec["training"]["log_every"] and self.step != self._steps:
            return
        self._emit(
            StepFinished(
                step=self.step,
                total_steps=self._steps,
                phase="full_rank",
                loss=_loss(self._weights),
                learning_rate=1e-3,
                grad_norm=1.0,
                tokens_seen=self.step * TOKENS_PER_STEP,
                tokens_per_second=1000.0,
                restarts=0,
            )
        )

    def _save(self) -> None:
        folder = self._workdir / checkpoint_path(self.step)
        if folder.exists():
            return
        unfinished = self._checkpoints / f".{folder.name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        (unfinished / WEIGHTS).write_text(self._weights)
        (unfinished / "state.json").write_text(json.dumps({"counters": {"step": self.step}}))
        manifest = write_manifest(unfinished, self.step)
        unfinished.rename(folder)
        path = checkpoint_path(self.step)
        self._emit(
            CheckpointSaved(step=self.step, path=path, bytes=manifest.bytes, pause_seconds=0)
        )
        saved = list(step_folders(self._checkpoints).items())
        for step, old in saved[: -self._spec["checkpoint"]["keep_last"]]:
            shutil.rmtree(old)
            self._emit(CheckpointDeleted(step=step, path=checkpoint_path(step)))

    def _finish(self) -> None:
        final = self._workdir / FINAL
        final.mkdir(exist_ok=True)
        (final / "model.safetensors").write_text(self._weights)
        self._emit(Exported(step=self.step, path=FINAL, bytes=len(self._weights)))
        self._emit(
            TrainFinished(
                step=self.step,
                tokens_seen=self.step * TOKENS_PER_STEP,
                restarts=0,
                skipped_steps=0,
                seconds=1.0,
                loss=_loss(self._weights),
            )
        )


def _exit_when_parent_ends() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--step-seconds", type=float, required=True)
    options = parser.parse_args()
    start_watchdog()
    threading.Thread(target=_exit_when_parent_ends, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with EventLog(options.workdir / EVENTS, also=log_event) as emit:
        _Run(options.workdir, emit).train(options.step_seconds)


if __name__ == "__main__":
    main()
