import json
import shutil
from pathlib import Path
from threading import Event
from typing import Literal, get_args

import pytest
import torch

from relora_core.checkpoint.checkpointer import Checkpoint, Checkpoints
from relora_core.checkpoint.compatibility import Identity
from relora_core.checkpoint.manifest import verify
from relora_core.errors import CheckpointError
from relora_core.events import CheckpointDeleted, CheckpointSaved, Warned
from relora_core.lowrank.inject import inject, low_rank_layers
from relora_core.lowrank.restart import merge, reinitialize
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import (
    OPTIMIZERS,
    AdamwOptimizer,
    CheckpointSpec,
    FrozenDtype,
    ReloraMethod,
    TrainSpec,
)
from relora_core.state import Counters, TrainState
from relora_core.workdir.files import step_folders
from tests.relora_core.conftest import MakeModel, Recorder, assert_same_weights

METHOD = ReloraMethod(rank=4)
SPEC = TrainSpec.model_validate(
    {
        "model": {"preset": "llama_9m"},
        "data": {"train": {"uri": "corpus.txt"}},
        "method": {"name": "relora", "rank": 8},
        "training": {"steps": 100},
    }
)
TOKENS = torch.arange(16).unsqueeze(0)


def low_rank_state(
    make_model: MakeModel,
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw",
    frozen_dtype: FrozenDtype = "bf16",
) -> TrainState:
    model = make_model()
    inject(model, METHOD.model_copy(update={"frozen_dtype": frozen_dtype}))
    reinitialize(model, step=0, restart=0, seed=0)
    return TrainState(model, build_optimizer(model, OPTIMIZERS[optimizer](name=optimizer)))


def trained_state(
    make_model: MakeModel,
    optimizer: Literal["adamw", "adamw_8bit"] = "adamw",
    frozen_dtype: FrozenDtype = "bf16",
) -> TrainState:
    state = low_rank_state(make_model, optimizer, frozen_dtype)
    state.model(TOKENS).logits.square().mean().backward()
    state.optimizer.step()
    merge(state.model, step=7, restart=1)
    state.counters = Counters(step=7, phase="low_rank", restarts=1, metrics={"loss": 2.5})
    return state


def embeddings(state: TrainState) -> torch.Tensor:
    return state.model.get_parameter("model.embed_tokens.weight")


def save(state: TrainState, workdir: Path, recorder: Recorder, steps: list[int]) -> Checkpoints:
    spec = CheckpointSpec(keep_last=2, keep_every=10)
    checkpoints = Checkpoints(workdir, spec, recorder, identity=Identity(SPEC))
    for step in steps:
        state.counters.step = step
        checkpoints.save(state)
    checkpoints.wait()
    return checkpoints


def load(checkpoint: Checkpoint, state: TrainState) -> None:
    """As a run in one piece resumes."""
    checkpoint.load_model(state.model)
    checkpoint.load_beside_model(state)


@pytest.mark.parametrize("frozen_dtype", get_args(FrozenDtype))
def test_a_loaded_state_is_the_saved_one_to_the_bit(
    frozen_dtype: FrozenDtype, tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    saved = trained_state(make_model, frozen_dtype=frozen_dtype)
    checkpoint = save(saved, tmp_path, recorder, [7]).newest()
    assert checkpoint is not None
    loaded = low_rank_state(make_model, frozen_dtype=frozen_dtype)
    load(checkpoint, loaded)

    assert loaded.counters == saved.counters
    assert_same_weights(saved.model.state_dict(), loaded.model.state_dict())
    layers = zip(low_rank_layers(saved.model), low_rank_layers(loaded.model), strict=True)
    for (_, one), (_, other) in layers:
        assert torch.equal(one.frozen.exact(), other.frozen.exact())
        rounded = one.frozen(torch.float32) != one.frozen.exact()
        assert bool(rounded.any()) is (frozen_dtype != "fp32")


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit"])
def test_an_optimizer_state_is_loaded_to_the_bit_whatever_it_is_made_of(
    optimizer: Literal["adamw", "adamw_8bit"],
    tmp_path: Path,
    make_model: MakeModel,
    recorder: Recorder,
) -> None:
    saved = trained_state(make_model, optimizer)
    checkpoint = save(saved, tmp_path, recorder, [7]).newest()
    assert checkpoint is not None
    loaded = low_rank_state(make_model, optimizer)
    load(checkpoint, loaded)
    kinds = set()
    for mine, theirs in zip(saved.model.parameters(), loaded.model.parameters(), strict=True):
        before, after = saved.optimizer.state.get(mine, {}), loaded.optimizer.state.get(theirs, {})
        assert before.keys() == after.keys()
        for key, value in before.items():
            assert type(after[key]) is type(value)
            assert torch.equal(torch.as_tensor(after[key]), torch.as_tensor(value)), key
            kinds.add(value.dtype if isinstance(value, torch.Tensor) else type(value))
    expected = {torch.float32} if optimizer == "adamw" else {torch.float32, torch.uint8, int}
    assert kinds == expected


def test_the_copy_is_of_the_moment_of_the_call(
    tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    state = trained_state(make_model)
    before = embeddings(state).detach().clone()
    exact = [layer.frozen.exact() for _, layer in low_rank_layers(state.model)]
    goes_on = Event()
    checkpoints = Checkpoints(tmp_path, CheckpointSpec(), recorder, identity=Identity(SPEC))
    checkpoints._writer.submit(goes_on.wait)  # writes come after what the trainer does next
    checkpoints.save(state)
    with torch.no_grad():
        embeddings(state).zero_()
    merge(state.model, step=8, restart=2)
    goes_on.set()
    checkpoints.wait()
    checkpoint = checkpoints.newest()
    assert checkpoint is not None
    loaded = low_rank_state(make_model)
    load(checkpoint, loaded)
    assert torch.equal(embeddings(loaded), before)
    for (_, layer), expected in zip(low_rank_layers(loaded.model), exact, strict=True):
        assert torch.equal(layer.frozen.exact(), expected)


def test_the_last_ones_and_the_milestones_are_kept(
    tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    save(trained_state(make_model), tmp_path, recorder, [5, 10, 15, 20, 25, 30])
    names = sorted(folder.name for folder in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000010", "step-00000020", "step-00000025", "step-00000030"]
    assert [event.step for event in recorder.of(CheckpointSaved)] == [5, 10, 15, 20, 25, 30]
    assert [event.step for event in recorder.of(CheckpointDeleted)] == [5, 15]


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "no manifest"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    damage: str, tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    checkpoints = save(trained_state(make_model), tmp_path, recorder, [5, 6])
    folder = tmp_path / "checkpoints" / "step-00000006"
    file = folder / "model-00001.safetensors"
    content = bytearray(file.read_bytes())
    match damage:
        case "cut":
            file.write_bytes(content[:-1])
        case "changed":
            content[-1] ^= 1
            file.write_bytes(content)
        case "missing":
            file.unlink()
        case "no manifest":
            (folder / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="step-00000006"):
        verify(folder)
    checkpoint = checkpoints.newest()
    assert checkpoint is not None
    assert checkpoint.counters.step == 5
    [warning] = recorder.of(Warned)
    assert warning.code == "checkpoint_damaged"


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"\x00" * 8,
        b'{"step": 6, "files": {"state.json": {"si',
        b"[]",
        b"6",
        b'{"files": []}',
        b'{"step": 6, "files": {"state.json": 1}}',
        b'{"step": 6, "files": {}}',
        b'{"step": 6, "files": {"state.json": {"size": 1, "sha256": "0"}}}',
        b'{"step": 6, "files": {"\\u0000": {"size": 1, "sha256": "0"}}}',
    ],
)
def test_a_checkpoint_with_garbage_for_a_manifest_is_passed_over(
    manifest: bytes, tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    checkpoints = save(trained_state(make_model), tmp_path, recorder, [5, 6])
    (tmp_path / "checkpoints" / "step-00000006" / "manifest.json").write_bytes(manifest)
    checkpoint = checkpoints.newest()
    assert checkpoint is not None
    assert checkpoint.counters.step == 5
    [warning] = recorder.of(Warned)
    assert warning.code == "checkpoint_damaged"
    assert warning.message.startswith("step-00000006")
    assert "validation error" not in warning.message


def test_what_a_killed_writer_left_is_no_checkpoint(
    tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    checkpoints = save(trained_state(make_model), tmp_path, recorder, [5])
    (tmp_path / "checkpoints" / ".step-00000006.tmp").mkdir()
    checkpoint = checkpoints.newest()
    assert checkpoint is not None
    assert checkpoint.counters.step == 5


@pytest.mark.parametrize("name", ["step-00000004-backup", "step-00000004 2", "step-best"])
def test_a_copy_beside_the_checkpoints_is_ignored_and_never_deleted(
    name: str, tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    state = trained_state(make_model)
    save(state, tmp_path, recorder, [4])
    copy = tmp_path / "checkpoints" / name
    shutil.copytree(tmp_path / "checkpoints" / "step-00000004", copy)
    checkpoints = save(state, tmp_path, recorder, [5, 6, 7])
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.counters.step == 7
    checkpoints.delete_after(6)
    assert list(step_folders(tmp_path / "checkpoints")) == [6]
    verify(copy)


def test_the_manifest_names_every_file_with_size_and_hash(
    tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    save(trained_state(make_model), tmp_path, recorder, [5])
    folder = tmp_path / "checkpoints" / "step-00000005"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["step"] == 5
    assert set(manifest["files"]) == {p.name for p in folder.iterdir()} - {"manifest.json"}
    [saved] = recorder.of(CheckpointSaved)
    assert saved.bytes == sum(entry["size"] for entry in manifest["files"].values())


def test_a_full_disk_is_told_at_the_next_wait(
    tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    checkpoints = Checkpoints(tmp_path, CheckpointSpec(), recorder, identity=Identity(SPEC))
    checkpoints.save(trained_state(make_model))
    with pytest.raises(OSError, match="checkpoints"):
        checkpoints.wait()


def test_a_checkpoint_with_w_stored_in_another_way_is_refused(
    tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    checkpoint = save(trained_state(make_model), tmp_path, recorder, [5]).newest()
    assert checkpoint is not None
    fp32 = low_rank_state(make_model, frozen_dtype="fp32")
    with pytest.raises(CheckpointError, match=r"no .*frozen\.stored of .* torch\.float32"):
        load(checkpoint, fp32)


def test_a_checkpoint_of_another_shape_is_refused(
    tmp_path: Path, make_model: MakeModel, recorder: Recorder
) -> None:
    checkpoint = save(trained_state(make_model), tmp_path, recorder, [5]).newest()
    assert checkpoint is not None
    model = make_model()
    with pytest.raises(CheckpointError, match=r"has no model\.layers\.0\.self_attn\.q_proj"):
        load(checkpoint, TrainState(model, build_optimizer(model, AdamwOptimizer())))
