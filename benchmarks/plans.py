"""The plan of a benchmark run on a CPU or a GPU, quick or thorough."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import torch

from benchmarks.contenders import Ours, PeftCompiled, PeftTrainer, silent
from benchmarks.figures import Device
from benchmarks.interleaved import Contender, run_interleaved
from benchmarks.machine import describe_machine, fastest_precision, load_average, matrix_flags
from benchmarks.packing import measure_packing
from benchmarks.pauses import measure_pauses
from benchmarks.results import Comparison, Results
from benchmarks.scaling import TIMES, Scaling, measure_scaling
from benchmarks.whole_run import WholeRuns
from benchmarks.workloads import MethodName, Workload, narrow, preset
from relora_core.estimate import estimate
from relora_core.estimate.gpus import USABLE
from relora_core.tasks import build_task

Progress = Callable[[str], None]
Save = Callable[[Results], None]
# The batch sizes with which one contender trains while the others rest in the 80 GB of one GPU.
_GPU_BATCHES = {"llama_130m": 64, "llama_350m": 32, "llama_1b": 16}
WHOLE_RUN_STEPS = 80
CUDA_CONTEXT_BYTES = 1 << 29  # of each process, beside torch's memory


@dataclass(frozen=True)
class Contest:
    """A planned comparison."""

    name: str
    workload: Workload
    contenders: tuple[str, ...]
    rounds: int
    steps: int  # timed, of each turn

    def peak_bytes(self, contender: str) -> int:
        """Return the memory that a contender of this project needs at its peak, as estimated."""
        workload, method = _workload_of(contender, self.workload)
        return estimate(workload.spec(method)).run.peak_bytes + CUDA_CONTEXT_BYTES

    def fits_together(self, memory: int) -> bool:
        """Return whether all contenders at their peaks fit in the memory of a GPU."""
        return sum(map(self.peak_bytes, self.contenders)) <= USABLE * memory


@dataclass(frozen=True)
class Plan:
    device: Device
    quick: bool
    contests: Sequence[Contest]
    pauses: Workload | None = None
    packing_copies: int = 0  # copies of the corpus; 0: not measured
    scaling: Sequence[Workload] = ()
    whole_run_steps: int = 0  # of whole runs of the first contest's model; 0: not measured
    rounds: int = 3  # of the measurements that are no contest

    def only(self, name: str) -> Self:
        """Return a plan of one contest. Raise `ValueError` with the known names if it is none."""
        chosen = [contest for contest in self.contests if contest.name == name]
        if not chosen:
            known = ", ".join(contest.name for contest in self.contests)
            raise ValueError(f"no contest is named {name!r}; on this device there are {known}")
        return replace(
            self, contests=chosen, pauses=None, packing_copies=0, scaling=(), whole_run_steps=0
        )


def cpu_plan(*, quick: bool, rounds: int | None = None) -> Plan:
    precision = fastest_precision(matrix_flags())
    speed = narrow(4, precision=precision)
    # lora and relora have the same steps: a quick run measures only one
    ours = ("full", "relora") if quick else ("full", "lora", "relora")
    contenders = (*ours, "relora_int8", "peft_trainer", "peft_compiled")
    memory = preset("llama_130m", sequences=4, precision=precision)
    slim = replace(narrow(2, precision=precision, hidden=256, sequences=4), compile=False)
    return Plan(
        device="cpu",
        quick=quick,
        contests=[
            Contest("speed", speed, contenders, rounds or (5 if quick else 9), 2 if quick else 3),
            Contest("memory", memory, ("full", "relora"), 1, 1),
        ],
        pauses=replace(speed, compile=False),
        packing_copies=3 if quick else 10,
        scaling=[slim, _deeper(slim)],
        whole_run_steps=0 if quick else WHOLE_RUN_STEPS,
        rounds=3 if quick else 5,
    )


def gpu_plan(*, quick: bool, rounds: int | None = None) -> Plan:
    contests = []
    for name in ("llama_130m",) if quick else _GPU_BATCHES:
        workload = preset(name, sequences=_GPU_BATCHES[name], precision="bf16")
        contenders = ("full", "relora", "relora_int8", "relora_fp8")
        contests.append(Contest(name, workload, contenders, rounds or 5, 10))
    return Plan(device="cuda", quick=quick, contests=contests)


def measure(plan: Plan, *, cache: Path, progress: Progress, save: Save | None = None) -> Results:
    """Measure the plan. Call `save` with what is known after each contest and at the end."""
    started = time.monotonic()
    results = Results(
        machine=describe_machine(),
        measured_at=datetime.now(UTC).replace(microsecond=0),
        quick=plan.quick,
        seconds=0.0,
        load_average_after=load_average(),
        comparisons={},
    )

    def known(**parts: object) -> Results:
        """Return the results with new parts, and save them."""
        passed = {"seconds": round(time.monotonic() - started, 1)}
        more = results.model_copy(update={**parts, **passed, "load_average_after": load_average()})
        if save is not None:
            save(more)
        return more

    for contest in plan.contests:
        progress(f"{contest.name}: {', '.join(contest.contenders)} prepare and take turns ...")
        compared = compare(contest, plan.device, cache)
        results = known(comparisons={**results.comparisons, contest.name: compared})
    pauses = packing = None
    if plan.pauses is not None:
        progress("restarts and checkpoints ...")
        pauses = measure_pauses(plan.pauses, device=plan.device, rounds=plan.rounds, cache=cache)
    if plan.packing_copies:
        progress("tokenize and pack ...")
        packing = measure_packing(copies=plan.packing_copies, rounds=plan.rounds, cache=cache)
    scaling = _scaling(plan, cache, progress)
    whole_runs = _whole_runs(plan, cache, progress)
    return known(pauses=pauses, packing=packing, scaling=scaling, whole_runs=whole_runs)


def _whole_runs(plan: Plan, cache: Path, progress: Progress) -> WholeRuns | None:
    if not plan.whole_run_steps:
        return None
    progress("whole runs, from the compiler to the export ...")
    model = plan.contests[0].workload
    return WholeRuns.measure(model, steps=plan.whole_run_steps, rounds=1, cache=cache)


def _scaling(plan: Plan, cache: Path, progress: Progress) -> Scaling | None:
    if not plan.scaling:
        return None
    progress("four times the data, four times the layers ...")
    copies = max(1, plan.packing_copies // TIMES)
    return measure_scaling(
        plan.scaling, copies=copies, device=plan.device, rounds=plan.rounds, cache=cache
    )


def compare(contest: Contest, device: Device, cache: Path) -> Comparison:
    workload = contest.workload
    build_task(workload.spec("full"), cache=cache, emit=silent)  # prepare the data once
    contenders = [_contender(name, workload, device, cache) for name in contest.contenders]
    on_gpu = device == "cuda"
    turns = run_interleaved(
        contenders,
        device=device,
        rounds=contest.rounds,
        steps=contest.steps,
        together=not on_gpu or contest.fits_together(torch.cuda.mem_get_info()[0]),
    )
    gpu = torch.cuda.get_device_name() if on_gpu else None
    return Comparison.of(workload, turns, steps=contest.steps, gpu=gpu)


def _contender(name: str, workload: Workload, device: Device, cache: Path) -> Contender:
    if name == "peft_trainer":
        return PeftTrainer(workload, cache, device)
    if name == "peft_compiled":
        return PeftCompiled(workload, cache, device)
    mine, method = _workload_of(name, workload)
    return Ours(name, mine, method, cache)


def _workload_of(name: str, workload: Workload) -> tuple[Workload, MethodName]:
    """Return what a contender of this project trains, and its method."""
    ours: dict[str, MethodName] = {"full": "full", "lora": "lora", "relora": "relora"}
    if name in ours:
        return workload, ours[name]
    assert name in ("relora_int8", "relora_fp8"), name
    return replace(workload, frozen_dtype=name.removeprefix("relora_")), "relora"


def _deeper(workload: Workload) -> Workload:
    layers = TIMES * workload.config["num_hidden_layers"]
    config = {**workload.config, "num_hidden_layers": layers}
    return replace(workload, name=f"{workload.name}, times {TIMES}", config=config)
