import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
)

from relora_core.__main__ import main
from relora_core.checkpoint.checkpointer import Checkpoints, read_checkpoint
from relora_core.checkpoint.manifest import write_manifest
from relora_core.errors import CheckpointError, ExportError
from relora_core.export.from_checkpoint import export_checkpoint, load_model
from relora_core.lowrank.inject import low_rank_layers, merged_tensors
from relora_core.methods import build_method
from relora_core.optim.timeline import Timeline
from relora_core.spec import PretrainedModel, PretrainedTokenizer, TrainSpec
from relora_core.state import TrainState
from relora_core.tasks import build_task
from relora_core.training.train import train
from tests.relora_core.conftest import (
    TINY_LLAMA,
    MakeModel,
    MakeSpec,
    Recorder,
    assert_same_weights,
)

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
        self.merged[step] = {name: t.clone() for name, t in merged_tensors(state.model)}


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


@pytest.mark.slow
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
        assert_same_weights(run.merged[step], model.state_dict())


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert "AutoTokenizer" in code
    assert len(names["processor"]) == 300


@pytest.mark.slow
def test_the_exported_model_generates_with_a_cache_one_token_a_step(
    finished: Any, make_spec: MakeSpec
) -> None:
    folder = finished(checkpointed(make_spec, "fp32")).workdir / "final"
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.use_cache is True
    assert model.generation_config.use_cache is True
    lengths = []

    def look(_module: Any, _arguments: Any, inputs: dict[str, Any]) -> None:
        lengths.append(inputs["input_ids"].shape[1])

    model.register_forward_pre_hook(look, with_kwargs=True)
    model.generate(TOKENS[:1, :20], max_new_tokens=4, min_new_tokens=4)
    assert lengths == [20, 1, 1, 1]


@pytest.mark.slow
def test_a_checkpoint_without_generation_settings_exports_with_a_cache(
    finished: Any, tmp_path: Path, make_spec: MakeSpec
) -> None:
    """As older versions saved it."""
    workdir = finished(checkpointed(make_spec, "fp32")).workdir
    folder = workdir / "checkpoints" / "step-00000012"
    for name in ("generation_config.json", "manifest.json"):
        (folder / name).unlink()
    write_manifest(folder, 12)
    export_checkpoint(workdir, tmp_path / "model")
    exported = GenerationConfig.from_pretrained(tmp_path / "model")
    assert (exported.use_cache, exported.eos_token_id) == (True, 0)


@pytest.fixture
def source(tmp_path: Path, make_model: MakeModel) -> Path:
    """A pretrained model with settings of its own, and its tokenizer."""
    folder = tmp_path / "source"
    words = Tokenizer(models.WordLevel({"</s>": 0, "<unk>": 1, "the": 2}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 0)]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>")
    tokenizer.chat_template = "{{ messages }}"
    tokenizer.save_pretrained(folder)
    model = make_model()
    model.save_pretrained(folder)
    settings = {"eos_token_id": [0, 2], "temperature": 0.6, "do_sample": True, "use_cache": False}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    return folder


@pytest.mark.slow
def test_settings_of_the_source_are_kept_and_its_tokenizer_no_longer_ends_prompts(
    source: Path, finished: Any, tmp_path: Path, make_spec: MakeSpec
) -> None:
    parts = {
        "model": PretrainedModel(pretrained=str(source)),
        "tokenizer": PretrainedTokenizer(pretrained=str(source)),
    }
    run = finished(checkpointed(make_spec, "fp32").model_copy(update=parts))
    export_checkpoint(run.workdir, tmp_path / "model")
    for folder in (run.workdir / "final", tmp_path / "model"):
        exported = GenerationConfig.from_pretrained(folder)
        assert exported.eos_token_id == [0, 2]
        assert (exported.temperature, exported.do_sample) == (0.6, True)
        assert exported.use_cache is True
        assert json.loads((folder / "config.json").read_text())["use_cache"] is True
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokenizer("the the").input_ids == [2, 2]
        assert tokenizer.chat_template == "{{ messages }}"


def test_with_another_tokenizer_generation_ends_at_its_token(
    source: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec().model_copy(update={"model": PretrainedModel(pretrained=str(source))})
    task = build_task(spec, cache=cache, emit=lambda _: None)
    settings = task.build_model(build_method(spec, Timeline.of(spec))).generation_config
    assert (settings.eos_token_id, settings.temperature) == (0, GenerationConfig().temperature)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        TINY_LLAMA,
        {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    ],
    ids=["llama", "gpt2"],
)
def test_low_rank_on_the_head_exports_what_the_checkpoint_computes(
    config: dict[str, Any], finished: Any, make_spec: MakeSpec
) -> None:
    method = {"frozen_dtype": "fp32", "target_modules": ["*"], "warm_start_steps": 0}
    spec = make_spec(
        model={"config": {**config, "tie_word_embeddings": False}},
        method=method,
        checkpoint={"every": 12},
    )
    run = finished(spec)
    _, model = load_model(read_checkpoint(run.workdir / "checkpoints" / "step-00000012"))
    assert "lm_head" in dict(low_rank_layers(model))
    exported = AutoModelForCausalLM.from_pretrained(run.workdir / "final")
    assert (logits_of(exported) - logits_of(model)).abs().max() <= 1e-5


@pytest.mark.slow
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


@pytest.mark.slow
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
