import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    ViTForImageClassification,
)

from relora_core.errors import ModelError
from relora_core.events import (
    Evaluated,
    Merged,
    PhaseStarted,
    StepFinished,
    TrainFinished,
    TrainStarted,
)
from relora_core.lowrank.inject import inject, low_rank_layers
from relora_core.methods.full import Full
from relora_core.presets import preset_config
from relora_core.spec import ReloraMethod, TrainSpec
from relora_core.tasks import build_task
from relora_core.tasks.image_classification import ImageClassification
from relora_core.tasks.pixels import Normalization, image_processor
from relora_core.training.train import train
from tests.relora_core.conftest import Recorder, assert_same_weights
from tests.relora_core.forks import Fork
from tests.relora_core.processes import LONGEST_RUN, events_in, steps_of
from tests.relora_core.tasks.conftest import TINY_VIT, MakeImageSpec, stripes


def run(spec: TrainSpec, workdir: Path, cache: Path, *, stop_after: int | None = None) -> Recorder:
    recorder = Recorder()

    def stop_requested() -> bool:
        steps = recorder.of(StepFinished)
        return stop_after is not None and bool(steps) and steps[-1].step >= stop_after

    train(spec, workdir, recorder, stop_requested, cache=cache)
    return recorder


@dataclass(frozen=True)
class Whole:
    """A run that went from its first step to its last."""

    workdir: Path
    recorder: Recorder


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, make_image_spec: MakeImageSpec
) -> Whole:
    """The run of the spec as it is, for the tests that only read it."""
    workdir = tmp_path_factory.mktemp("whole")
    return Whole(workdir, run(make_image_spec(), workdir, cache))


def losses(recorder: Recorder) -> list[float]:
    return [event.loss for event in recorder.of(StepFinished)]


def open_task(spec: TrainSpec, cache: Path) -> ImageClassification:
    task = build_task(spec, cache=cache, emit=lambda _: None)
    assert isinstance(task, ImageClassification)
    return task


@pytest.mark.slow
def test_relora_learns_to_tell_images_apart(
    tmp_path: Path, cache: Path, make_image_spec: MakeImageSpec
) -> None:
    spec = make_image_spec(
        training={"steps": 60, "global_batch_size": 16},
        method={"rank": 8, "warm_start_steps": 20, "reset_every": 20},
        optimizer={"learning_rate": 5e-3},
        spectrum={"enabled": "auto"},
    )
    recorder = run(spec, tmp_path, cache)
    first, last = recorder.of(Evaluated)
    assert first.loss == pytest.approx(math.log(3), abs=0.1)
    assert last.images is not None
    assert 30 < last.images < 70
    assert last.accuracy is not None
    assert last.accuracy > 0.9
    assert (last.perplexity, last.tokens, last.top5_accuracy) == (None, None, None)
    assert len(recorder.of(Merged)) == 1
    [finished] = recorder.of(TrainFinished)
    assert (finished.accuracy, finished.perplexity) == (last.accuracy, None)
    assert (finished.tokens_seen, finished.unit) == (60 * 16, "images")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "control", "lowrank", "lora"])
def test_the_other_methods_run_from_the_same_spec(
    method: str, tmp_path: Path, cache: Path, make_image_spec: MakeImageSpec
) -> None:
    recorder = run(make_image_spec(method={"name": method}), tmp_path, cache)
    assert recorder.of(TrainFinished)[0].step == 12
    assert all(math.isfinite(loss) for loss in losses(recorder))


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 8])
def test_a_stopped_run_resumes_to_the_same_bits(
    stop_after: int, whole: Whole, tmp_path: Path, cache: Path, make_image_spec: MakeImageSpec
) -> None:
    spec = make_image_spec()
    first = run(spec, tmp_path, cache, stop_after=stop_after)
    second = run(spec, tmp_path, cache)
    assert second.of(TrainStarted)[0].step == stop_after
    assert losses(first) + losses(second) == losses(whole.recorder)
    weights = [
        load_file(workdir / "final" / "model.safetensors") for workdir in (whole.workdir, tmp_path)
    ]
    assert_same_weights(*weights)


@pytest.mark.slow
def test_the_micro_batch_changes_neither_numbers_nor_flips(
    tmp_path: Path, cache: Path, make_image_spec: MakeImageSpec
) -> None:
    one, other = (
        losses(run(make_image_spec(training={"micro_batch_size": n}), tmp_path / str(n), cache))
        for n in (8, 2)
    )
    assert other == pytest.approx(one, rel=1e-5)


def test_low_rank_layers_replace_the_linears_of_the_blocks_alone(
    cache: Path, make_image_spec: MakeImageSpec
) -> None:
    model = open_task(make_image_spec(), cache).build_model(Full())
    inject(model, ReloraMethod(rank=4))
    linears = ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj")
    assert {name for name, _ in low_rank_layers(model)} == {
        f"vit.layers.{block}.{linear}"
        for block in (0, 1)
        for linear in (*linears, "mlp.fc1", "mlp.fc2")
    }
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {
        "vit.embeddings.patch_embeddings.projection.weight",
        "vit.embeddings.position_embeddings",
        "vit.embeddings.cls_token",
        "vit.layers.0.layernorm_before.weight",
        "vit.layers.1.mlp.fc2.bias",
        "vit.layernorm.weight",
        "classifier.weight",
    } < trained
    assert not any(name.endswith("proj.weight") for name in trained)


@pytest.mark.slow
def test_the_exported_folder_does_with_a_raw_image_what_training_did(
    whole: Whole, cache: Path, make_image_spec: MakeImageSpec
) -> None:
    final = whole.workdir / "final"
    model = AutoModelForImageClassification.from_pretrained(final).eval()
    assert isinstance(model, ViTForImageClassification)
    assert model.config.id2label == {0: "crossed", 1: "lying", 2: "standing"}
    assert not any("lora" in name for name, _ in model.named_parameters())

    task = open_task(make_image_spec(), cache)
    [validation] = task.validation
    everything = np.arange(len(validation))
    held_out = validation.dataset.examples(everything, everything)
    processor = AutoImageProcessor.from_pretrained(final)
    raw = [stripes(label, n) for n, label in enumerate(["lying", "standing", "crossed"] * 80)]
    ours = {image.numpy().tobytes(): number for number, image in enumerate(held_out.inputs)}
    matched = 0
    with torch.no_grad():
        expected = task.logits(model, held_out)
        for image in raw:
            pixels = image.resize((16, 16), Image.Resampling.BILINEAR)
            number = ours.get(np.asarray(pixels).transpose(2, 0, 1).tobytes())
            if number is not None:
                logits = model(**processor(image, return_tensors="pt")).logits
                assert (logits[0] - expected[number]).abs().max() < 1e-6
                matched += 1
    assert matched == len(held_out)


def test_the_card_says_what_it_is(whole: Whole) -> None:
    final = whole.workdir / "final"
    card = (final / "README.md").read_text()
    assert "pipeline_tag: image-classification" in card
    assert "| global batch size | 8 images |" in card
    assert "| images seen | 96 |" in card
    assert "| validation_accuracy | " in card
    code = card.partition("```python\n")[2].partition("```")[0]
    loaded: dict[str, Any] = {}
    exec(code.replace('"."', repr(str(final))), loaded)  # noqa: S102 - our own card
    assert isinstance(loaded["model"], ViTForImageClassification)
    assert loaded["processor"].size == {"height": 16, "width": 16}


def test_more_than_five_labels_have_a_top_5(cache: Path, make_image_spec: MakeImageSpec) -> None:
    task = open_task(make_image_spec(), cache)
    task.config.id2label = dict(enumerate("abcdefg"))
    scores = task.evaluated(3, torch.tensor([8.0, 4, 1, 3], dtype=torch.float64))
    assert (scores.loss, scores.accuracy, scores.top5_accuracy, scores.images) == (2, 0.25, 0.75, 4)
    assert str(scores) == "step 3: validation loss 2.0000, accuracy 25.00%"


@pytest.mark.slow
def test_an_evaluation_scores_no_more_images_than_asked(
    tmp_path: Path, cache: Path, make_image_spec: MakeImageSpec
) -> None:
    recorder = run(make_image_spec(evaluation={"images": 7}), tmp_path, cache)
    assert [event.images for event in recorder.of(Evaluated)] == [7, 7]


def test_a_pretrained_model_sees_as_before_and_gets_a_head_for_the_labels(
    tmp_path: Path, cache: Path, make_image_spec: MakeImageSpec
) -> None:
    config = {**TINY_VIT, "image_size": 16}
    kind = config.pop("model_type")
    other = AutoModelForImageClassification.from_config(
        AutoConfig.for_model(kind, **config, num_labels=7)
    )
    other.save_pretrained(tmp_path / "other")
    image_processor(16, Normalization(mean=(0.1, 0.2, 0.3))).save_pretrained(tmp_path / "other")
    spec = make_image_spec(model={"pretrained": str(tmp_path / "other")})
    task = open_task(spec, cache)
    assert task.normalize == Normalization(mean=(0.1, 0.2, 0.3))
    model = task.build_model(Full())
    assert model.get_parameter("classifier.weight").shape == (3, 32)
    name = "vit.layers.1.mlp.fc1.weight"
    assert torch.equal(model.get_parameter(name), other.get_parameter(name))


@pytest.mark.parametrize(("preset", "millions"), [("tiny", 5), ("small", 22), ("base", 86)])
def test_a_preset_has_as_many_parameters_as_was_published(preset: str, millions: int) -> None:
    fields = preset_config(f"vit_{preset}")  # the counts are those of DeiT, with 1000 labels
    with torch.device("meta"):
        model = AutoModelForImageClassification.from_config(
            AutoConfig.for_model(fields.pop("model_type"), **fields, num_labels=1000)
        )
    assert sum(p.numel() for p in model.parameters()) // 10**6 == millions


def test_an_example_takes_more_memory_in_a_deeper_model(
    cache: Path, make_image_spec: MakeImageSpec
) -> None:
    def bytes_with(layers: int) -> int:
        spec = make_image_spec(model={"config": {**TINY_VIT, "num_hidden_layers": layers}})
        task = open_task(spec, cache)
        return task.example_bytes(task.build_model(Full()))

    two, four, six = (bytes_with(layers) for layers in (2, 4, 6))
    assert four - two == six - four > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"config": {"model_type": "llama"}}}, "no model_type 'llama'; there are beit"),
        ({"data": {"image_size": 18}}, "an image of 18 pixels is no whole number of patches of 4"),
        (
            {"model": {"config": {**TINY_VIT, "image_size": 32}}},
            "data.image_size 16 differs from the model's image_size 32; leave one out",
        ),
        ({"model": {"config": {**TINY_VIT, "num_channels": 1}}}, "the model has 1"),
        ({"method": {"rank": 33}}, "rank 33 is over the smaller side"),
    ],
)
def test_a_model_that_does_not_fit_fails_before_training(
    change: dict[str, Any],
    message: str,
    tmp_path: Path,
    cache: Path,
    make_image_spec: MakeImageSpec,
) -> None:
    with pytest.raises(ModelError, match=message):
        run(make_image_spec(**change), tmp_path, cache)


@pytest.mark.slow
def test_the_phases_split_the_model_as_for_language(whole: Whole) -> None:
    phases = whole.recorder.of(PhaseStarted)
    assert [(event.step, event.phase) for event in phases] == [(0, "warm_start"), (4, "low_rank")]
    assert phases[0].frozen_parameters == 0
    # the six linears of two blocks: 4 of 32 x 32, and 32 x 64 and 64 x 32
    assert phases[1].frozen_parameters == 2 * (4 * 32 * 32 + 2 * 32 * 64)


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes_train_like_one(
    fork: Fork, tmp_path: Path, make_image_spec: MakeImageSpec
) -> None:
    spec = make_image_spec()
    one, two = fork(spec, "one"), fork(spec, "two", processes=2)
    assert (one.wait(LONGEST_RUN), two.wait(LONGEST_RUN)) == (0, 0)
    assert steps_of(tmp_path / "two") == pytest.approx(steps_of(tmp_path / "one"), rel=1e-5)
    accuracies = [
        [event.accuracy for event in events_in(tmp_path / name) if isinstance(event, Evaluated)]
        for name in ("one", "two")
    ]
    assert accuracies[0] == accuracies[1]
