"""Profile steps on demand: a trace of what the host and the GPU do, and of the memory.

The file `profile-steps` in the workdir asks for it and contains the number of steps.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from relora_core.distributed.world import World
from relora_core.events import Emit, ProfileSaved, Warned
from relora_core.files import new_folder
from relora_core.workdir.files import MOST_PROFILED_STEPS, PROFILE, profile_path

TRACE = "trace.json.gz"  # for Perfetto and chrome://tracing
OPERATORS = "operators.txt"  # a table, the most expensive operators first
MEMORY = "memory.pickle"  # for https://pytorch.org/memory_viz; only of a GPU
_ROWS = 100
_ALLOCATIONS = 200_000  # how many the memory snapshot remembers


@dataclass
class _Running:
    trace: profile
    from_step: int
    until_step: int
    mark: record_function | None = None  # of the current step in the trace

    def begin_step(self, step: int) -> None:
        self.mark = record_function(f"ProfilerStep#{step}")  # the name that tools look for
        self.mark.__enter__()

    def end_step(self) -> None:
        if self.mark is not None:
            self.mark.__exit__(None, None, None)
            self.mark = None


class Profiler:
    """Profiles the main rank. The numbers of the run stay the same, and its steps are slower."""

    def __init__(self, workdir: Path, world: World, emit: Emit) -> None:
        self._workdir = workdir
        self._request = workdir / PROFILE
        self._world = world
        self._emit = emit
        self._running: _Running | None = None

    def before_step(self, step: int) -> None:
        """Begin a profile, if one is asked for and none has begun."""
        if not self._world.is_main:
            return
        if self._running is None and self._request.exists():
            self._begin(step)
        if self._running is not None:
            self._running.begin_step(step)

    def after_step(self, step: int) -> None:
        """End a step of the profile, and save the profile after the last. `step` comes next."""
        if self._running is None:
            return
        self._running.end_step()
        if step == self._running.until_step:
            self.finish(step)

    def finish(self, step: int) -> None:
        """Save what was profiled so far, for example at the end of the run."""
        running, self._running = self._running, None
        if running is None:
            return
        running.trace.stop()
        path = profile_path(running.from_step)
        with new_folder(self._workdir / path) as folder:
            self._write(running.trace, folder)
            size = sum(file.stat().st_size for file in folder.iterdir())
        self._forget_memory()
        self._request.unlink(missing_ok=True)
        self._emit(ProfileSaved(from_step=running.from_step, step=step, path=path, bytes=size))

    def cancel(self) -> None:
        """Drop what was profiled. The request stays for the attempt that resumes the run."""
        if self._running is not None:
            self._running.end_step()
            self._running.trace.stop()
            self._running = None
            self._forget_memory()

    def _steps_asked_for(self, step: int) -> int | None:
        text = self._request.read_text(errors="replace").strip()
        with suppress(ValueError):
            if 1 <= (steps := int(text)) <= MOST_PROFILED_STEPS:
                return steps
        self._request.unlink()
        message = (
            f"no profile: the file {PROFILE} has {text[:40]!r}; write a number of steps from 1 to "
            f"{MOST_PROFILED_STEPS}"
        )
        self._emit(Warned(code="profile_refused", step=step, message=message))
        return None

    def _begin(self, step: int) -> None:
        asked = self._steps_asked_for(step)
        if asked is None:
            return
        activities = [ProfilerActivity.CPU]
        if self._on_gpu:
            activities.append(ProfilerActivity.CUDA)
            torch.cuda.memory._record_memory_history(max_entries=_ALLOCATIONS)
        trace = profile(activities=activities, record_shapes=True, profile_memory=True)
        trace.start()
        self._running = _Running(trace, from_step=step, until_step=step + asked)

    def _write(self, trace: profile, folder: Path) -> None:
        trace.export_chrome_trace(str(folder / TRACE))
        order = "self_device_time_total" if self._on_gpu else "self_cpu_time_total"
        table = trace.key_averages().table(sort_by=order, row_limit=_ROWS)
        (folder / OPERATORS).write_text(table)
        if self._on_gpu:
            torch.cuda.memory._dump_snapshot(str(folder / MEMORY))

    def _forget_memory(self) -> None:
        if self._on_gpu:
            torch.cuda.memory._record_memory_history(enabled=None)

    @property
    def _on_gpu(self) -> bool:
        return self._world.device.type == "cuda"
