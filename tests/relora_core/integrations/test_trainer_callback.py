"""With a real `transformers.Trainer`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

from relora_core import ReLoRA, ReLoRACallback
from relora_core.data.loader import BatchLoader
from relora_core.errors import ModelError
from relora_core.events import Merged, StepFinished
from relora_core.methods import build_method
from relora_core.optim.schedules import cosine
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.tasks import build_task
from relora_core.tasks.task import Task
from relora_core.training.train import train
from tests.relora_core.conftest import (
    TINY_LLAMA,
    MakeModel,
    MakeSpec,
    Recorder,
    assert_same_weights,
)

STEPS, RESET_EVERY, CLIMB = 12, 4, 2
CONFIG = {**TINY_LLAMA, "vocab_size": 300, "tie_word_embeddings": True}


class StopAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        control.should_training_stop = state.global_step == self.step


@pytest.fixture
def trainer(make_model: MakeModel, tmp_path: Path) -> Any:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(300, (32, 16), generator=generator).tolist()
    data = Dataset.from_dict({"input_ids": rows, "labels": rows, "unused": [0] * len(rows)})

    def make(name: str, *callbacks: TrainerCallback, **changes: Any) -> Trainer:
        arguments: dict[str, Any] = {
            "max_steps": STEPS,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "cosine",
            "warmup_steps": 2,
            "logging_steps": 1,
            "save_steps": RESET_EVERY,
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            **changes,
        }
        return Trainer(
            model=ReLoRA(make_model(**CONFIG), rank=4, frozen_dtype="bf16", dropout=0.1),
            args=TrainingArguments(str(tmp_path / name), **arguments),
            train_dataset=data,
            eval_dataset=data.select(range(4)),
            callbacks=[
                ReLoRACallback(reset_every=RESET_EVERY, restart_warmup_steps=CLIMB),
                *callbacks,
            ],
        )

    return make


def test_a_run_resumed_from_a_checkpoint_at_a_restart_ends_with_the_bits_of_one_never_stopped(
    trainer: Any, tmp_path: Path
) -> None:
    trainer("whole").train()
    trainer("halves", StopAt(RESET_EVERY)).train()
    assert not (tmp_path / "halves/final").exists()
    trainer("halves").train(resume_from_checkpoint=True)

    for file in (f"checkpoint-{STEPS}/model.safetensors", "final/model.safetensors"):
        whole, halves = (load_file(tmp_path / run / file) for run in ("whole", "halves"))
        assert whole.keys() == halves.keys()
        assert_same_weights(whole, halves)


@pytest.mark.slow
def test_it_trains_the_model_that_a_spec_trains(
    make_spec: MakeSpec, cache: Path, tmp_path: Path
) -> None:
    """Through three restarts, on the same batches."""
    spec = make_spec(
        method={"warm_start_steps": 0, "frozen_dtype": "fp32"},
        training={"steps": 16},
        optimizer={"low_rank_learning_rate": 1e-2},
        schedule={"warmup_steps": 0, "restart_warmup_steps": 2, "min_lr_ratio": 0},
    )
    recorder = Recorder()
    train(spec, tmp_path / "spec", recorder, cache=cache)
    losses = [event.loss for event in recorder.of(StepFinished)]

    task = build_task(spec, cache=cache, emit=recorder)
    plain = task.build_model(build_method(spec, Timeline.of(spec)))
    model = ReLoRA(plain, rank=4, seed=spec.training.seed)
    arguments = TrainingArguments(
        str(tmp_path / "trainer"),
        max_steps=16,
        per_device_train_batch_size=spec.training.global_batch_size,
        train_sampling_strategy="sequential",
        learning_rate=1e-2,
        adam_beta2=0.95,
        lr_scheduler_type="cosine",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows_read_by(spec, task),
        callbacks=[ReLoRACallback(reset_every=4, restart_warmup_steps=2)],
    )
    trainer.train()

    assert len(recorder.of(Merged)) == model.restarts == 3
    logged = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert logged == pytest.approx(losses, abs=1e-4)
    assert losses[-1] < losses[0] - 1
    expected, found = (
        load_file(tmp_path / run / "final/model.safetensors") for run in ("spec", "trainer")
    )
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-4, rtol=0)


def rows_read_by(spec: TrainSpec, task: Task) -> Dataset:
    """What a run of the spec reads, in its order."""
    batches = BatchLoader(
        task.train, global_batch_size=spec.training.global_batch_size, seed=spec.training.seed
    )
    rows = []
    for step in range(spec.total_steps):
        batch = batches.batch(step)
        for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            rows.append({"input_ids": [*inputs, targets[-1]], "labels": [-100, *targets]})
    batches.close()
    return Dataset.from_list(rows)


def test_a_finished_run_saves_the_merged_model(trainer: Any, tmp_path: Path) -> None:
    run = trainer("run")
    run.train()
    assert run.model.restarts == 2  # before steps 4 and 8
    tokens = torch.arange(16).unsqueeze(0)
    final = AutoModelForCausalLM.from_pretrained(tmp_path / "run/final")
    expected = run.model.eval()(tokens).logits
    assert torch.allclose(final(tokens).logits, expected, atol=0.02)  # W computes in bf16


def test_the_learning_rate_is_the_jagged_cosine(trainer: Any) -> None:
    run = trainer("run", save_strategy="no")
    run.train()
    rates = [row["learning_rate"] for row in run.state.log_history if "learning_rate" in row]

    # what is logged after a step is the rate of that step
    def smooth(step: int) -> float:
        return 1e-2 * cosine(step, total_steps=STEPS, warmup_steps=2, min_lr_ratio=0)

    assert rates[4] == pytest.approx(smooth(6) / 2)
    assert rates[5] == pytest.approx(smooth(6))
    assert rates[8] == pytest.approx(smooth(10) / 2)
    assert [rates[step] for step in (3, 6, 7, 10, 11)] == pytest.approx(
        [smooth(step) for step in (3, 6, 7, 10, 11)]
    )


def test_the_trainer_finds_labels_and_columns_of_the_wrapped_model(trainer: Any) -> None:
    run = trainer("run")
    assert run.label_names == ["labels"]
    assert run.evaluate()["eval_loss"] == pytest.approx(5.7, abs=0.1)  # ln 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim": "sgd"}, "take torch.optim.AdamW"),
        (
            {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "steps"},
            "function of the step",
        ),
    ],
    ids=["optimizer", "schedule"],
)
def test_what_it_cannot_restart_is_refused_before_the_first_step(
    changes: dict[str, Any], message: str, trainer: Any
) -> None:
    with pytest.raises(ModelError, match=message):
        trainer("run", **changes).train()


def test_a_model_that_is_not_wrapped_is_refused(make_model: MakeModel, trainer: Any) -> None:
    run = trainer("run")
    run.model = run.model_wrapped = make_model(**CONFIG)
    with pytest.raises(ModelError, match="give the Trainer ReLoRA"):
        run.train()


def test_a_climb_as_long_as_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match=r"less than reset_every \(4\); got 4"):
        ReLoRACallback(reset_every=4, restart_warmup_steps=4)


def test_the_default_climb_is_that_of_the_spec() -> None:
    assert ReLoRACallback(reset_every=200).restart_warmup_steps == 20


def test_rolling_restarts_are_refused_for_it_would_lower_the_rate_for_each(
    make_model: MakeModel, trainer: Any
) -> None:
    run = trainer("run")
    run.model = run.model_wrapped = ReLoRA(make_model(**CONFIG), rank=4, reset="rolling")
    with pytest.raises(ModelError, match="take reset whole or half"):
        run.train()
