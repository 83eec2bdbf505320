import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from relora_core.__main__ import main
from relora_core.checkpoint import Checkpoints, read_checkpoint
from relora_core.checkpoint_export import export_checkpoint, load_model
from relora_core.errors import CheckpointError, ExportError
from relora_core.lowrank.inject import low_rank_layers, merged_state
from relora_core.spec import TrainSpec
from relora_core.state import TrainState
from relora_core.train import train
from tests.relora_core.conftest import MakeSpec, Recorder

TOKENS = torch.arange(64).view(2, 32)
STEPS = (3, 6, 9, 12)  # the warm start ends at 4, the first cycle at 8


class Run:
    """A finished run, and what its model was at each checkpoint."""

    def __init__(self, workdir: Path) -> None:
        self.workdir = workdir
        self.logits: dict[int, Tensor] = {}
        self.merged: dict[int, dict[str, Tensor]] = {}

    def look(self, state: TrainState) -> None:
        step = state.counters.step
        self.logits[step] = logits_of(state.model)
        self.merged[step] = {name: t.clone() for name, t in merged_state(state.model).items()}


def logits_of(model: Any) -> Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS).logits


@pytest.fixture
def finished(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Train a spec to its end."""
    save = Checkpoints.save

    def finish(spec: TrainSpec) -> Run:
        run = Run(tmp_path / "run")

        def save_and_look(self: Checkpoints, state: TrainState) -> None:
            run.look(state)
            save(self, state)

        monkeypatch.setattr(Checkpoints, "save", save_and_look)
        train(spec, run.workdir, Recorder(), lambda: False, cache=cache)
        return run

    return finish


def checkpointed(make_spec: MakeSpec, frozen_dtype: str, **changes: Any) -> TrainSpec:
    return make_spec(
        method={"frozen_dtype": frozen_dtype},
        checkpoint={"every": 3, "keep_last": 9},
        **changes,
    )


@pytest.mark.parametrize(("frozen_dtype", "bound"), [("fp32", 1e-5), ("bf16", 2e-3)])
def test_an_exported_model_computes_what_the_training_model_did_at_that_step(
    frozen_dtype: str, bound: float, finished: Any, tmp_path: Path, make_spec: MakeSpec
) -> None:
    """In bf16 it differs by what training, too, could not see: the residual of W."""
    run = finished(checkpointed(make_spec, frozen_dtype))
    for step in STEPS:
        folder = tmp_path / f"model-{step}"
        assert export_checkpoint(run.workdir, folder, step=step).step == step
        model = AutoModelForCausalLM.from_pretrained(folder)
        difference = (logits_of(model) - run.logits[step]).abs().max()
        assert difference <= bound
        weights = model.state_dict()
        assert all(torch.equal(weights[name], t) for name, t in run.merged[step].items())


def test_what_bf16_could_not_hold_is_in_the_exported_model(
    finished: Any, tmp_path: Path, make_spec: MakeSpec
) -> None:
    run = finished(checkpointed(make_spec, "bf16"))
    export_checkpoint(run.workdir, tmp_path / "model", step=9)
    _, model = load_model(read_checkpoint(run.workdir / "checkpoints" / "step-00000009"))
    weights = load_file(tmp_path / "model" / "model.safetensors")
    layers = list(low_rank_layers(model))
    assert layers
    for name, layer in layers:
        exact, held = layer.frozen.exact(), layer.frozen(torch.float32)
        assert not torch.equal(exact, held)
        assert torch.equal(weights[f"{name}.weight"], exact + layer.update())


def test_the_last_checkpoint_gives_the_final_model_to_the_byte(
    finished: Any, tmp_path: Path, make_spec: MakeSpec
) -> None:
    run = finished(checkpointed(make_spec, "bf16", export={"dtype": "bf16"}))
    exported = export_checkpoint(run.workdir, tmp_path / "model")
    assert exported.step == 12
    final = run.workdir / "final"
    assert {file.name for file in final.iterdir()} == {
        file.name for file in (tmp_path / "model").iterdir()
    }
    for file in final.iterdir():
        assert (tmp_path / "model" / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_copied_checkpoint_is_enough(finished: Any, tmp_path: Path, make_spec: MakeSpec) -> None:
    run = finished(checkpointed(make_spec, "fp32"))
    copy = tmp_path / "copy" / "checkpoints" / "step-00000006"
    shutil.copytree(run.workdir / "checkpoints" / copy.name, copy)
    shutil.rmtree(run.workdir)
    export_checkpoint(tmp_path / "copy", tmp_path / "model", dtype="bf16")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.bfloat16
    assert len(AutoTokenizer.from_pretrained(tmp_path / "model")) == model.config.vocab_size
    assert not list(low_rank_layers(model))


def test_the_code_on_the_card_loads_the_model(
    finished: Any, tmp_path: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished(checkpointed(make_spec, "fp32"))
    export_checkpoint(run.workdir, tmp_path / "model", step=6)
    [code] = re.findall(
        r"^```python\n(.*?)^```", (tmp_path / "model" / "README.md").read_text(), re.M | re.S
    )
    monkeypatch.chdir(tmp_path / "model")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own card
    assert (logits_of(names["model"]) - run.logits[6]).abs().max() <= 1e-5
    assert len(names["processor"]) == 300


def test_an_export_that_cannot_be_says_why_and_writes_nothing(
    finished: Any, tmp_path: Path, make_spec: MakeSpec
) -> None:
    workdir = finished(checkpointed(make_spec, "fp32")).workdir
    folder = tmp_path / "model"
    with pytest.raises(CheckpointError, match="no checkpoint of step 5; there are 3, 6, 9, 12"):
        export_checkpoint(workdir, folder, step=5)
    with pytest.raises(CheckpointError, match="nowhere has no checkpoints"):
        export_checkpoint(tmp_path / "nowhere", folder)
    file = workdir / "checkpoints" / "step-00000012" / "model-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"cut short; there are also 3, 6, 9"):
        export_checkpoint(workdir, folder)
    assert not folder.exists()
    folder.mkdir()
    (folder / "mine").touch()
    with pytest.raises(ExportError, match="model is not empty; name a new folder"):
        export_checkpoint(workdir, folder, step=9)
    assert [file.name for file in folder.iterdir()] == ["mine"]


def test_the_command_exports_and_fails_with_the_reason(
    finished: Any, tmp_path: Path, make_spec: MakeSpec, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relora_core")
    workdir = str(finished(checkpointed(make_spec, "fp32")).workdir)
    command = ["export", "--workdir", workdir, "--to", str(tmp_path / "model")]
    assert main([*command, "--step", "6", "--dtype", "fp16"]) == 0
    assert "step 6: merged model of" in caplog.text
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").dtype == torch.float16
    assert main(command) == 1
    assert "is not empty" in caplog.text
