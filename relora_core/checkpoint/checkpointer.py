"""Checkpoints of a run: whole or not at all, verified before use, nothing unpickled.

`checkpoints/step-00001000/` holds the tensors of model and optimizer (safetensors), the
counters (`state.json`), what the spectrum's report needs (`reference-*.safetensors`,
`spectra.json`), what describes the run (`relora_core.export.checkpoint_files`) and, written last,
`manifest.json` with each file's size and sha256.
The folder appears by one rename. Loss of power, SIGKILL and a full disk leave the older
checkpoints as they were.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from relora_core.checkpoint.compatibility import Identity
from relora_core.checkpoint.manifest import verify, write_manifest
from relora_core.data.fingerprints import Contents
from relora_core.distributed.dtensor import distribute_like, from_local
from relora_core.distributed.world import SINGLE_PROCESS, World
from relora_core.errors import CheckpointError
from relora_core.events import CheckpointDeleted, CheckpointSaved, Emit, Warned
from relora_core.files import delete_folder, new_folder
from relora_core.lowrank.inject import prepare_frozen, residuals
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


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    folder: Path
    counters: Counters

    def load_model(self, model: nn.Module) -> None:
        """Fill in a model in one piece, with the layers of the checkpoint's phase."""
        _load_model(model, self._tensors("model"))

    def load_beside_model(self, state: TrainState) -> None:
        """All but the weights, which are there already and may lie in parts by now."""
        _load_optimizer(state, self._tensors("optimizer"))
        state.reference = self._tensors("reference")
        state.spectra = _SPECTRA.validate_json((self.folder / "spectra.json").read_bytes())
        state.counters = self.counters

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for file in sorted(self.folder.glob(f"{kind}-*.safetensors")):
            tensors.update(load_file(file))
        return tensors


class Checkpoints:
    """The checkpoints of one workdir. Saving waits for a copy in memory alone."""

    def __init__(
        self,
        workdir: Path,
        spec: CheckpointSpec,
        emit: Emit,
        *,
        identity: Identity,
        world: World = SINGLE_PROCESS,
    ) -> None:
        """Checkpoints of a run with another identity are refused."""
        self.workdir = workdir
        self.world = world
        self.folder = workdir / CHECKPOINTS
        self.describe: Describe | None = None
        self.spec = spec
        self.emit = emit
        self.identity = identity
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def data_prepared(
        self, contents: Contents, describe: Describe, *, resumed: Checkpoint | None
    ) -> None:
        """Raise `CheckpointError` if `resumed` was trained on data with other contents.

        `describe` adds files to a checkpoint that let it be read without the run.
        """
        self.identity = replace(self.identity, contents=contents)
        self.describe = describe
        if resumed is not None:
            self.at(resumed.counters.step)

    def newest(self) -> Checkpoint | None:
        """The newest that verifies; a damaged one is passed over with a warning.

        Raises `CheckpointError` if it belongs to another run.
        """
        for leftover in unfinished_step_folders(self.folder):
            shutil.rmtree(leftover)
        return self._first_whole(reversed(self._complete()))

    def before(self, trouble: int) -> Checkpoint | None:
        """The one to go back to after trouble that began at this step, as `newest` finds one.

        The schedule's last one from before comes first. A run that was stopped has one more,
        and yet goes back to the same. One from amid the trouble comes last.
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
        """Delete those of later steps, which are undone."""
        for later in self._complete():
            if later > step:
                self._delete(later)

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of this step, unverified. Raises `CheckpointError` as `newest` does."""
        folder = self._at(step)
        saved = json.loads((folder / STATE).read_text())["identity"]
        self.identity.check(saved, step=step)
        return read_checkpoint(folder)

    def save(self, state: TrainState) -> None:
        """Copy the state, and write the copy in the background. Raises what the last write did.

        A write that still goes on is waited for first, so that no more than one copy is in memory;
        checkpoints that come slower than the disk writes them pause training for the copy alone.
        Every rank calls it, the main one writes.
        """
        started = time.perf_counter()
        self.wait()
        tensors = {
            "model": {
                **self.world.gather_to_main(_weights(state.model)),
                # a merge makes new ones and leaves these as they are
                **self.world.gather_to_main(_residuals(state.model), copy=False),
            },
            "optimizer": self.world.gather_to_main(_optimizer_tensors(state)),
            "reference": state.reference,
        }
        if not self.world.is_main:
            return
        spectra = _SPECTRA.dump_json(state.spectra)
        document = {"counters": asdict(state.counters), "identity": self.identity.document()}
        pause = time.perf_counter() - started
        model = state.model
        self._pending = self._writer.submit(self._write, tensors, document, spectra, model, pause)

    def wait(self) -> None:
        """Until the last save is on disk and reported."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def close(self) -> None:
        self._writer.shutdown(wait=True)

    def _write(
        self,
        tensors: Mapping[str, Mapping[str, Tensor]],
        document: dict[str, Any],
        spectra: bytes,
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
            (temporary / "spectra.json").write_bytes(spectra)
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
            )
        )
        self._delete_old()

    def _delete_old(self) -> None:
        for step in self.spec.expired(self._complete()):
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
    """Also one of an older version, whose counters may be fewer, or some that are no more."""
    saved = json.loads((folder / STATE).read_text())["counters"]
    known = {field.name for field in fields(Counters)}
    counters = Counters(**{name: value for name, value in saved.items() if name in known})
    return Checkpoint(folder, counters)


def _shards(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Parts of at most `_SHARD_BYTES`, so that storage can move them side by side."""
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
    """Each tensor once, tied ones under one name."""
    seen = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor


def _residuals(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What the stored frozen weights leave out."""
    for name, layer, residual in residuals(model):
        yield name, from_local(residual, like=layer.lora_b)


@torch.no_grad()
def _load_model(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, tensor in _weights(model):
        tensor.copy_(_saved(name, tensor, tensors))
    for name, layer, residual in residuals(model):
        layer.frozen.residual = _saved(name, residual, tensors)
    prepare_frozen(model)


def _saved(name: str, like: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    saved = tensors.get(name)
    if saved is None or (saved.shape, saved.dtype) != (like.shape, like.dtype):
        raise CheckpointError(
            f"the checkpoint has no {name} of shape {tuple(like.shape)} and {like.dtype}"
        )
    return saved


def _optimizer_tensors(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    """`parameter/key` for each tensor, `parameter/key/number` for a plain int or float."""
    for name, parameter in state.model.named_parameters():
        for key, value in state.optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                yield f"{name}/{key}", value
            else:
                dtype = torch.int64 if isinstance(value, int) else torch.float64
                yield f"{name}/{key}/number", torch.tensor(value, dtype=dtype)


def _load_optimizer(state: TrainState, tensors: dict[str, Tensor]) -> None:
    parameters = dict(state.model.named_parameters())
    for path, tensor in tensors.items():
        name, key, *number = path.split("/")
        parameter = parameters[name]
        state.optimizer.state[parameter][key] = (
            tensor.item() if number else _laid(tensor, parameter)
        )


def _laid(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A moment lies as its parameter does; what has another shape is no moment."""
    if tensor.shape == parameter.shape:
        return distribute_like(tensor, like=parameter)
    return tensor.to(parameter.device)
