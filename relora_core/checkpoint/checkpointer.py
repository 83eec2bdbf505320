"""Save and load the checkpoints of a run: atomic, verified before use, without pickle.

`checkpoints/step-00001000/` holds the tensors of the model and the optimizer (safetensors), the
counters (`state.json`), the data of the reports (`reference-*.safetensors`, `spectra.json`,
`directions-*.safetensors`, `restarts.json`), the files that describe the run
(`relora_core.export.checkpoint_files`) and `manifest.json` with the size and sha256 of each file.
The manifest is written last. The folder appears by one rename. A power failure, SIGKILL or a full
disk does not damage the older checkpoints.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from relora_core.checkpoint.compatibility import Identity
from relora_core.checkpoint.manifest import verify, write_manifest
from relora_core.checkpoint.saved_tensors import SavedTensors
from relora_core.data.fingerprints import DataFingerprints
from relora_core.distributed.dtensor import from_local, local_rows, to_local
from relora_core.distributed.world import SINGLE_PROCESS, World
from relora_core.errors import CheckpointError
from relora_core.events import CheckpointDeleted, CheckpointSaved, Emit, Warned
from relora_core.files import delete_folder, new_folder
from relora_core.lowrank.cycle import RestartHistory
from relora_core.lowrank.inject import low_rank_layers, prepare_frozen, residual_name, residuals
from relora_core.lowrank.spectrum import UpdateSpectrum
from relora_core.spec import CheckpointSpec
from relora_core.state import Counters, TrainState
from relora_core.workdir.files import (
    CHECKPOINTS,
    STATE,
    checkpoint_path,
    step_folders,
    step_name,
    unfinished_step_folders,
)

Describe = Callable[[Path, PreTrainedModel], None]
_SHARD_BYTES = 4 * 1024**3
_SPECTRA = TypeAdapter(list[UpdateSpectrum])
_SPECTRA_FILE = "spectra.json"
_RESTARTS_FILE = "restarts.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. With several ranks, the main rank reads the tensors for all of them.

    The folder of another rank has the other files, as the main rank sent them.
    """

    folder: Path
    counters: Counters
    world: World = SINGLE_PROCESS

    def load_model(self, model: nn.Module) -> None:
        """Load the weights into a model with the layers of the checkpoint's phase.

        If the model is sharded, each rank keeps its rows.
        """
        _load_model(model, SavedTensors(self.folder, "model", self.world))

    def load_beside_model(self, state: TrainState) -> None:
        """Load everything except the weights: optimizer state, report data and counters."""
        _load_optimizer(state, SavedTensors(self.folder, "optimizer", self.world))
        state.reference = self._tensors("reference")
        state.spectra = _SPECTRA.validate_json((self.folder / _SPECTRA_FILE).read_bytes())
        state.directions = self._tensors("directions")
        restarts = self.folder / _RESTARTS_FILE
        if restarts.exists():  # not in a checkpoint of an older version
            state.restarts = RestartHistory.model_validate_json(restarts.read_bytes())
        state.counters = self.counters

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        tensors = SavedTensors(self.folder, kind, self.world)
        return {name: tensors.read(name) for name in tensors}


class Checkpoints:
    """The checkpoints of one workdir. A save blocks training only for a copy in memory."""

    def __init__(
        self,
        workdir: Path,
        spec: CheckpointSpec,
        emit: Emit,
        *,
        identity: Identity,
        world: World = SINGLE_PROCESS,
    ) -> None:
        """Open the checkpoints of a run. Those of a run with another identity are refused."""
        self.workdir = workdir
        self.world = world
        self.folder = workdir / CHECKPOINTS
        self.describe: Describe | None = None
        self.spec = spec
        self.emit = emit
        self.identity = identity
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._received = ExitStack()  # the temporary folders of `from_main`

    def data_prepared(
        self, fingerprints: DataFingerprints, describe: Describe, *, resumed: Checkpoint | None
    ) -> None:
        """Raise `CheckpointError` if `resumed` was trained on other data.

        `describe` adds the files to a checkpoint that are needed to read it without the run.
        """
        self.identity = replace(self.identity, fingerprints=fingerprints)
        self.describe = describe
        if resumed is not None:
            self._check(resumed.folder, resumed.counters.step)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that verifies, or None. Skip damaged ones with a warning.

        Raise `CheckpointError` if the checkpoint belongs to another run.
        """
        for leftover in unfinished_step_folders(self.folder):
            shutil.rmtree(leftover)
        return self._first_whole(reversed(self._complete()))

    def before(self, trouble: int) -> Checkpoint | None:
        """Return the checkpoint to rewind to, after steps failed from step `trouble` on.

        Prefer the last scheduled checkpoint up to that step. A run that was stopped has an
        additional checkpoint, but rewinds to the same one. A checkpoint from after the failure
        began is the last choice. Damaged checkpoints are skipped as in `newest`.
        """
        scheduled = trouble // self.spec.every * self.spec.every

        def preference(step: int) -> tuple[bool, bool, int]:
            return step <= trouble, step == scheduled, step

        return self._first_whole(sorted(self._complete(), key=preference, reverse=True))

    def _first_whole(self, steps: Iterable[int]) -> Checkpoint | None:
        for step in steps:
            try:
                verify(self._at(step))
            except CheckpointError as error:
                self.emit(Warned(code="checkpoint_damaged", message=f"{error}; skipped"))
                continue
            return self.at(step)
        return None

    def delete_after(self, step: int) -> None:
        """Delete the checkpoints of later steps, because these steps are undone."""
        for later in self._complete():
            if later > step:
                self._delete(later)

    def at(self, step: int) -> Checkpoint:
        """Return the checkpoint of this step without verifying its files.

        Raise `CheckpointError` if it belongs to another run.
        """
        folder = self._at(step)
        self._check(folder, step)
        return read_checkpoint(folder)

    def from_main(self, chosen: Checkpoint | None) -> Checkpoint | None:
        """Return the checkpoint that the main rank chose, on every rank.

        Other nodes need none of its files: they get the small ones here, in a temporary folder, and
        the tensors when these are loaded.
        """
        if self.world.size == 1:
            return chosen
        sent = self.world.broadcast_object(None if chosen is None else _small_files(chosen.folder))
        if sent is None:
            return None
        if chosen is None:
            temporary = TemporaryDirectory(prefix="relora-checkpoint-")
            folder = Path(self._received.enter_context(temporary))
            for name, content in sent.items():
                (folder / name).write_bytes(content)
            chosen = read_checkpoint(folder)
        return replace(chosen, world=self.world)

    def _check(self, folder: Path, step: int) -> None:
        saved = json.loads((folder / STATE).read_text())["identity"]
        self.identity.check(saved, step=step)

    def save(self, state: TrainState) -> None:
        """Copy the state to memory and write the copy in the background.

        Wait first until the last write is finished, so that at most one copy is in memory, and
        raise the error of that write if it failed. If the disk writes a checkpoint faster than the
        next one comes, training pauses only for the copy. Every rank has to call it; the main rank
        writes.
        """
        started = time.perf_counter()
        self.wait()
        tensors = {
            "model": {
                **self.world.gather_to_main(_weights(state.model)),
                # no copy: a merge makes new tensors and does not write to these
                **self.world.gather_to_main(_residuals(state.model), copy=False),
            },
            "optimizer": self.world.gather_to_main(_optimizer_tensors(state)),
            "reference": state.reference,
            "directions": dict(state.directions),
        }
        if not self.world.is_main:
            return
        reports = {
            _SPECTRA_FILE: _SPECTRA.dump_json(state.spectra),
            _RESTARTS_FILE: state.restarts.model_dump_json().encode(),
        }
        document = {"counters": asdict(state.counters), "identity": self.identity.document()}
        pause = time.perf_counter() - started
        model = state.model
        self._pending = self._writer.submit(self._write, tensors, document, reports, model, pause)

    def wait(self) -> None:
        """Wait until the last checkpoint is on disk and its event is emitted."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def close(self) -> None:
        self._writer.shutdown(wait=True)
        self._received.close()

    def _write(
        self,
        tensors: Mapping[str, Mapping[str, Tensor]],
        document: dict[str, Any],
        reports: Mapping[str, bytes],
        model: PreTrainedModel,
        pause: float,
    ) -> None:
        step = document["counters"]["step"]
        folder = self._at(step)
        with new_folder(folder) as temporary:
            for kind, named in tensors.items():
                for number, shard in enumerate(_shards(named), start=1):
                    save_file(shard, temporary / f"{kind}-{number:05d}.safetensors")
            (temporary / STATE).write_text(json.dumps(document, indent=2))
            for name, content in reports.items():
                (temporary / name).write_bytes(content)
            if self.describe is not None:
                self.describe(temporary, model)
            size = write_manifest(temporary, step).bytes
        self.emit(
            CheckpointSaved(
                step=step,
                path=checkpoint_path(step),
                bytes=size,
                pause_seconds=pause,
                metrics=document["counters"]["metrics"],
                best_step=document["counters"]["best_step"],
            )
        )
        self._delete_old(best=document["counters"]["best_step"])

    def _delete_old(self, *, best: int | None) -> None:
        for step in self.spec.expired(self._complete(), best=best):
            self._delete(step)

    def _delete(self, step: int) -> None:
        folder = self._at(step)
        delete_folder(folder)
        self.emit(CheckpointDeleted(step=step, path=checkpoint_path(step)))

    def _complete(self) -> list[int]:
        """List the steps of the checkpoints, oldest first."""
        return list(step_folders(self.folder))

    def _at(self, step: int) -> Path:
        return self.folder / step_name(step)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint, also one of an older version of relora.

    Its counters may lack some fields, or have fields that do not exist any more.
    """
    saved = json.loads((folder / STATE).read_text())["counters"]
    known = {field.name for field in fields(Counters)}
    counters = Counters(**{name: value for name, value in saved.items() if name in known})
    return Checkpoint(folder, counters)


def _small_files(folder: Path) -> dict[str, bytes]:
    """Read all files of a checkpoint except the tensors, by name."""
    files = (file for file in folder.iterdir() if file.suffix != ".safetensors")
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield shards of at most `_SHARD_BYTES`, so that storage can transfer them in parallel."""
    shard: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if shard and size + tensor.nbytes > _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    if shard:
        yield shard


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor once, also if it is tied and has several names."""
    seen = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor


def _residuals(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the residuals: the exact frozen weights minus the stored, rounded ones."""
    for name, layer, residual in residuals(model):
        yield name, from_local(residual, like=layer.lora_b)


@torch.no_grad()
def _load_model(model: nn.Module, tensors: SavedTensors) -> None:
    for name, tensor in _weights(model):
        to_local(tensor).copy_(
            _saved(name, tensors, shape=tensor.shape, dtype=tensor.dtype, rows=local_rows(tensor))
        )
    for name, layer in low_rank_layers(model):
        dtype, shape = layer.frozen.stored_type.residual_dtype, layer.frozen.shape
        if dtype is not None:
            rows = local_rows(layer.lora_b)
            residual = _saved(residual_name(name), tensors, shape=shape, dtype=dtype, rows=rows)
            if layer.frozen.keeps_residual:  # every rank has to read it
                layer.frozen.residual = residual
    prepare_frozen(model)


def _saved(
    name: str, tensors: SavedTensors, *, shape: torch.Size, dtype: torch.dtype, rows: slice
) -> Tensor:
    """Return these rows of a saved tensor, which has this shape and type as a whole."""
    if name in tensors and tensors.shape(name) == shape:
        saved = tensors.read(name, rows)
        if saved.dtype == dtype:
            return saved
    raise CheckpointError(f"the checkpoint has no {name} of shape {tuple(shape)} and {dtype}")


def _optimizer_tensors(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    """Yield the optimizer state, named `parameter/key`, or `parameter/key/number` for a number."""
    for name, parameter in state.model.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield f"{name}/{key}", value
            else:
                dtype = torch.int64 if isinstance(value, int) else torch.float64
                yield f"{name}/{key}/number", torch.tensor(value, dtype=dtype)


def _load_optimizer(state: TrainState, tensors: SavedTensors) -> None:
    parameters = dict(state.model.named_parameters())
    for path in tensors:
        name, key, *number = path.split("/")
        parameter = parameters[name]
        state.optimizer.state[parameter][key] = (
            tensors.read(path).item() if number else _state(path, tensors, parameter)
        )


def _state(path: str, tensors: SavedTensors, parameter: Tensor) -> Tensor:
    """Read a tensor, sharded as its parameter if it has its shape. Otherwise it is no moment."""
    if tensors.shape(path) != parameter.shape:
        return tensors.read(path).to(parameter.device)
    rows = tensors.read(path, local_rows(parameter)).to(parameter.device)
    return from_local(rows, like=parameter)
