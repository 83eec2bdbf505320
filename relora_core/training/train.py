"""Run a spec: build the parts, resume from the newest checkpoint, train, export."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedModel

from relora_core.checkpoint.checkpointer import Checkpoint, Checkpoints
from relora_core.checkpoint.compatibility import Identity
from relora_core.counted import counted
from relora_core.data.cache import default_cache
from relora_core.data.epochs import many_epochs
from relora_core.data.loader import BatchLoader
from relora_core.distributed.world import World, init_distributed
from relora_core.errors import ModelError
from relora_core.errors.unexpected import Callbacks, as_train_error
from relora_core.estimate.phases import planned_phases
from relora_core.estimate.shape_of import needs_trainer, shape_of
from relora_core.events import Emit, Warned
from relora_core.export.checkpoint_files import CheckpointMetadata
from relora_core.lowrank.bitsandbytes_extra import require_bitsandbytes
from relora_core.lowrank.gradient_directions import follow_the_gradient
from relora_core.lowrank.inject import narrow_layers
from relora_core.lowrank.targets import abbreviated
from relora_core.methods import build_method
from relora_core.methods.method import Method
from relora_core.models.arithmetic import arithmetic
from relora_core.models.attention import known_sequences
from relora_core.models.build import make_config
from relora_core.models.meta_parameters import drop_weights
from relora_core.models.parallelize import parallelism_of
from relora_core.optim.timeline import Timeline
from relora_core.progress_bars import no_progress_bars
from relora_core.spec import LowRank, Targets, TrainSpec
from relora_core.spec.local_copies import with_copies
from relora_core.state import TrainState
from relora_core.tasks import build_task
from relora_core.tasks.task import Task
from relora_core.training.automatic_restarts import AutomaticRestarts
from relora_core.training.best_checkpoint import BestCheckpoint
from relora_core.training.early_stop import EarlyStop
from relora_core.training.expected_memory import multiplies_as_stored
from relora_core.training.memory_report import MemoryReport
from relora_core.training.profile import Profiler
from relora_core.training.restart_report import RestartReports
from relora_core.training.rewind import Rewinder, main_rank_choice
from relora_core.training.spectrum_report import SpectrumReport
from relora_core.training.stepper import Stepper
from relora_core.training.telemetry import Telemetry
from relora_core.training.trainer import Trainer
from relora_core.training.warm_start import check_warm_start, load_warm_start
from relora_core.workdir.event_log import run_log, silent
from relora_core.workdir.lock import only_trainer
from relora_core.workdir.micro_batch_limits import MicroBatchLimits

# The hardware that multiplies a frozen weight in the type in which it is stored.
_NEEDS = {
    "fp8": "training.precision bf16 and a GPU with fp8 matrix units (Ada, Hopper or newer)",
    "int8": "an NVIDIA GPU (Turing or newer) or a CPU with avx512_vnni",
}

GRADIENT_BATCHES = 4  # how many of the next batches decide on A, for method.factor_init gradient


def train(
    spec: TrainSpec,
    workdir: Path,
    emit: Emit | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
    *,
    cache: Path | None = None,
    staged: Mapping[str, str] | None = None,
) -> bool:
    """Train `spec` in `workdir`. Resume from the newest checkpoint if there is one.

    Return True if the run is complete, or False if `stop_requested` ended it; then a checkpoint
    is saved. Events go to `emit`, by default to the file `events.jsonl` in the workdir and to the
    logger `relora_core`. Prepared data is kept in `cache` for later runs, by default in
    `~/.cache/relora`. `staged` maps remote sources to their local copies. Raise
    `relora_core.errors.TrainError` if training fails. An error of `emit` or `stop_requested` is
    raised unchanged. After an error, the same call resumes from the newest checkpoint.
    """
    with (
        as_train_error() as callbacks,
        init_distributed() as world,
        only_trainer(workdir, is_main=world.is_main),
        no_progress_bars(),
        arithmetic(spec.training),
        known_sequences(document_mask=spec.data.document_mask),
        _report(workdir, emit, callbacks, world) as report,
    ):
        local = with_copies(spec, staged or {})
        for warning in spec.warnings:
            report(Warned(code=warning.code, message=str(warning)))
        _check_batch(spec, world)
        _check_parallelism(spec, world, report)
        _check_extras(spec)
        _check_units(spec, world, report)
        checkpoints = Checkpoints(
            workdir, spec.checkpoint, report, identity=Identity(spec), world=world
        )
        newest = main_rank_choice(world, checkpoints, checkpoints.newest)
        if newest is None:
            _check_model(local)
        task = build_task(
            local,
            cache=cache or default_cache(),
            emit=report,
            staged=staged,
            resumed=newest.folder if newest else None,
        )
        checkpoints.data_prepared(
            task.fingerprints, CheckpointMetadata(spec, task).write, resumed=newest
        )
        batches = _batches(spec, task, world)
        with closing(checkpoints), closing(batches):
            timeline = Timeline.of(spec)
            method = build_method(spec, timeline)
            stepper = Stepper(spec, task, world, report, MicroBatchLimits(workdir, world.rank))
            follow_gradient = _gradient_follower(stepper, batches, world)

            def build(checkpoint: Checkpoint | None) -> TrainState:
                state = _build_state(local, method, task, checkpoint, world, report)
                timeline.follow(state.counters.decided_restarts)
                return replace(state, follow_gradient=follow_gradient)

            state = build(newest)
            _tell_narrow_layers(spec, state, report)
            _tell_many_epochs(spec, batches, report)
            trainer = Trainer(
                spec=spec,
                state=state,
                timeline=timeline,
                automatic_restarts=AutomaticRestarts(timeline, world),
                method=method,
                stepper=stepper,
                batches=batches,
                task=task,
                checkpoints=checkpoints,
                rewinder=Rewinder(spec.training, checkpoints, world, build),
                spectrum=SpectrumReport(
                    spec, state, timeline, workdir=workdir, world=world, emit=report
                ),
                restart_reports=RestartReports(spec, timeline, workdir, world, report),
                memory=MemoryReport(workdir, world, report),
                telemetry=Telemetry(local, world),
                profiler=Profiler(workdir, world, report),
                workdir=workdir,
                world=world,
                emit=report,
                stop_requested=callbacks.watch("stop_requested", stop_requested),
                early_stop=EarlyStop(spec.training.stop_when, world, state.counters.seconds),
                best_checkpoint=BestCheckpoint(spec, checkpoints, workdir, world, report),
            )
            return trainer.run()


def _report(
    workdir: Path, emit: Emit | None, callbacks: Callbacks, world: World
) -> AbstractContextManager[Emit]:
    if emit is None:
        return run_log(workdir, is_main=world.is_main)
    return nullcontext(callbacks.watch("emit", emit) if world.is_main else silent)


def _batches(spec: TrainSpec, task: Task, world: World) -> BatchLoader:
    return BatchLoader(
        task.train,
        global_batch_size=spec.training.global_batch_size,
        seed=spec.training.seed,
        rank=world.rank,
        world_size=world.size,
        device=world.device,
    )


def _gradient_follower(
    stepper: Stepper, batches: BatchLoader, world: World
) -> Callable[[PreTrainedModel, int], None]:
    """Return what sets every A by the gradient on the batches from a number on."""

    def follow(model: PreTrainedModel, first: int) -> None:
        def backward(model: PreTrainedModel) -> None:
            for number in range(first, first + GRADIENT_BATCHES):
                stepper.backpropagate(model, batches.batch(number), number)

        follow_the_gradient(model, backward, world)

    return follow


def _build_state(
    spec: TrainSpec,
    method: Method,
    task: Task,
    checkpoint: Checkpoint | None,
    world: World,
    emit: Emit,
) -> TrainState:
    """Return the state of the checkpoint, or the initial state of a new run."""
    parallelism = parallelism_of(
        spec.training, world, lambda: task.build_model(method, weights=False)
    )
    model = task.build_model(method, weights=world.is_main or not parallelism.shards)
    if checkpoint is None and isinstance(spec.method, LowRank) and spec.method.warm_start_from:
        emit(load_warm_start(model, spec.method.warm_start_from, task, world))
    if checkpoint is not None:
        drop_weights(model)  # those of the checkpoint are loaded below
    method.shape(model, checkpoint.counters.phase if checkpoint else None)
    model = parallelism.apply(model)
    if checkpoint is not None:
        checkpoint.load_model(model)
    state = TrainState(model, method.optimizer(model, spec.optimizer), parallelism=parallelism)
    if checkpoint is not None:
        checkpoint.load_beside_model(state)
    return state


def _tell_narrow_layers(spec: TrainSpec, state: TrainState, emit: Emit) -> None:
    if not isinstance(spec.method, Targets) or spec.method.changes_shape:
        return
    narrow = narrow_layers(state.model, spec.method)
    if narrow:
        message = (
            f"{len(narrow)} linear layers of the blocks are trained in full, for they have a side "
            f"below method.rank ({spec.method.rank}): {abbreviated(narrow)}"
        )
        emit(Warned(code="narrow_layers", message=message))


def _tell_many_epochs(spec: TrainSpec, batches: BatchLoader, emit: Emit) -> None:
    for warning in many_epochs(batches.sources(spec.total_steps), spec.unit):
        emit(Warned(code=warning.code, message=str(warning)))


def _check_batch(spec: TrainSpec, world: World) -> None:
    if spec.training.global_batch_size % world.size:
        raise ModelError(
            f"training.global_batch_size {spec.training.global_batch_size} does not divide "
            f"over {counted(world.size, 'process', 'processes')}"
        )


def _check_parallelism(spec: TrainSpec, world: World, emit: Emit) -> None:
    parallelism = spec.training.parallelism
    if spec.training.shards and world.size == 1:
        message = f"training.parallelism {parallelism} with one process: it holds the whole model"
        emit(Warned(code="not_sharded", message=message))


def _check_model(spec: TrainSpec) -> None:
    """Raise `ModelError` if the model, the method or the warm start shows an error by itself.

    Call it early, because preparing the data takes long.
    """
    if needs_trainer(spec):
        make_config(spec, {})
    else:
        planned_phases(spec, shape_of(spec))
    if isinstance(spec.method, LowRank) and spec.method.warm_start_from:
        check_warm_start(spec.method.warm_start_from)


def _check_extras(spec: TrainSpec) -> None:
    """Raise `ModelError` if an optional library is missing.

    Call it early, because preparing the data and building the model take long.
    """
    if isinstance(spec.method, LowRank) and spec.method.frozen_dtype == "nf4":
        require_bitsandbytes("method.frozen_dtype nf4", instead="int8")
    if spec.optimizer.needs_bitsandbytes:
        require_bitsandbytes(f"optimizer.name {spec.optimizer.name}", instead="adamw")


def _check_units(spec: TrainSpec, world: World, emit: Emit) -> None:
    if not isinstance(spec.method, LowRank) or spec.method.frozen_dtype not in _NEEDS:
        return
    if multiplies_as_stored(spec, world.device):
        return
    dtype, precision = spec.method.frozen_dtype, spec.training.precision
    message = (
        f"method.frozen_dtype {dtype} is no faster here, for it needs {_NEEDS[dtype]}: products "
        f"run with equal numbers in {precision} on {world.device.type}; bf16 is nearer to W"
    )
    emit(Warned(code=f"{dtype}_not_faster", message=message))
