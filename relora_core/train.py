"""Run a spec: build the parts, resume from the newest checkpoint, train, export."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relora_core.checkpoint import Checkpoints
from relora_core.data.loader import BatchLoader
from relora_core.data.prepare import PreparedData, prepare
from relora_core.distributed import World, joined_world
from relora_core.errors import CheckpointError, ModelError
from relora_core.events import AnyTrainEvent, Emit, TrainStarted
from relora_core.methods import build_method
from relora_core.model import build_model
from relora_core.optimizers import build_optimizer
from relora_core.spec import TrainSpec
from relora_core.state import TrainState
from relora_core.stepper import Stepper
from relora_core.timeline import Timeline
from relora_core.trainer import Trainer

# What may differ between two starts of a run in one folder: it does not change the weights.
_FREE = {"name", "recipe", "evaluation", "checkpoint", "export"}
_FREE_IN_TRAINING = {"log_every", "micro_batch_size", "compile", "gradient_checkpointing"}


def train(
    spec: TrainSpec,
    workdir: Path,
    emit: Emit,
    stop_requested: Callable[[], bool],
    *,
    cache: Path,
    staged: Mapping[str, str] | None = None,
) -> bool:
    """Train `spec` in `workdir`, from its newest checkpoint if it has one.

    Return whether the run is complete; False if `stop_requested` ended it, with a checkpoint
    saved. Token shards are kept in `cache` for later runs; `staged` maps remote sources to
    their local copies. Raises `relora_core.errors.TrainError`.
    """
    with joined_world() as world:
        report = emit if world.is_main else _silent
        _check_batch(spec, world)
        data = prepare(spec, cache=cache, emit=report, staged=staged)
        with _trainer(spec, workdir, data, world, report, stop_requested) as trainer:
            return trainer.run()


@contextmanager
def _trainer(
    spec: TrainSpec,
    workdir: Path,
    data: PreparedData,
    world: World,
    emit: Emit,
    stop_requested: Callable[[], bool],
) -> Iterator[Trainer]:
    timeline = Timeline.of(spec)
    method = build_method(spec, timeline)
    identity = _identity(spec, data)
    checkpoints = Checkpoints(workdir, spec.checkpoint, emit)
    checkpoint = checkpoints.newest()
    if checkpoint is not None:
        _check_identity(checkpoint.identity, identity, workdir)
    model = build_model(spec, data.tokenizer)
    method.shape(model, checkpoint.counters.phase if checkpoint else None)
    model.to(world.device)  # type: ignore[arg-type] # transformers wraps `to` without its types
    state = TrainState(model, build_optimizer(model, spec.optimizer))
    if checkpoint is not None:
        checkpoint.load_into(state)
    batches = BatchLoader(
        data.train,
        global_batch_size=spec.training.global_batch_size,
        seed=spec.training.seed,
        rank=world.rank,
        world_size=world.size,
    )
    emit(_started(spec, state, world))
    try:
        yield Trainer(
            spec=spec,
            state=state,
            timeline=timeline,
            method=method,
            stepper=Stepper(spec, world, emit),
            batches=batches,
            validation=data.validation,
            tokenizer=data.tokenizer,
            checkpoints=checkpoints,
            identity=identity,
            workdir=workdir,
            world=world,
            emit=emit,
            stop_requested=stop_requested,
        )
    finally:
        batches.close()
        checkpoints.close()


def _started(spec: TrainSpec, state: TrainState, world: World) -> TrainStarted:
    return TrainStarted(
        step=state.counters.step,
        total_steps=spec.total_steps,
        parameters=sum(p.numel() for p in state.model.parameters()),
        tokens_per_step=spec.tokens_per_step,
        world_size=world.size,
        device=str(world.device.type),
    )


def _check_batch(spec: TrainSpec, world: World) -> None:
    if spec.training.global_batch_size % world.size:
        raise ModelError(
            f"training.global_batch_size {spec.training.global_batch_size} does not divide "
            f"over {world.size} processes"
        )


def _identity(spec: TrainSpec, data: PreparedData) -> dict[str, Any]:
    """What a checkpoint belongs to: resuming under another is refused."""
    document = spec.model_dump(mode="json", exclude=_FREE)
    document["training"] = {
        key: value for key, value in document["training"].items() if key not in _FREE_IN_TRAINING
    }
    document["data"]["train_tokens"] = data.train.num_tokens
    return document


def _check_identity(saved: dict[str, Any], now: dict[str, Any], workdir: Path) -> None:
    changed = sorted(key for key in saved.keys() | now.keys() if saved.get(key) != now.get(key))
    if changed:
        raise CheckpointError(
            f"{workdir} holds checkpoints of another run: {', '.join(changed)} differ; "
            "use a new workdir, or the spec that the run was started with"
        )


def _silent(event: AnyTrainEvent) -> None:
    """Only the main rank reports."""
