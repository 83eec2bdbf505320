"""`relora import`: configs of axolotl as job specs."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from jobs.schemas.job import JobSpec
from service.cli import app

CONTINUED: dict[str, Any] = {
    "base_model": "acme/tiny-llama",
    "model_type": "LlamaForCausalLM",
    "load_in_8bit": False,
    "load_in_4bit": True,
    "adapter": "qlora",
    "datasets": [{"path": "acme/books", "type": "completion", "field": "body", "split": "train"}],
    "dataset_prepared_path": None,
    "val_set_size": 0.05,
    "sequence_len": 2048,
    "sample_packing": True,
    "output_dir": "./out",
    "lora_r": 8,
    "lora_alpha": 16,
    "lora_dropout": 0.05,
    "lora_target_linear": True,
    "relora": True,
    "relora_prune_ratio": 0.8,
    "jagged_restart_steps": 150,
    "jagged_restart_warmup_steps": 10,
    "jagged_restart_anneal_steps": False,
    "micro_batch_size": 4,
    "gradient_accumulation_steps": 2,
    "num_epochs": 3,
    "optimizer": "adamw_bnb_8bit",
    "lr_scheduler": "cosine",
    "learning_rate": "2e-4",
    "warmup_ratio": 0.1,
    "bf16": "auto",
    "tf32": False,
    "gradient_checkpointing": True,
    "logging_steps": 1,
    "evals_per_epoch": 4,
    "save_steps": 0.25,
}


@pytest.fixture
def imported(tmp_path: Path) -> Any:
    """Import a config; options of the command follow it."""

    def run(config: dict[str, Any], *options: str) -> Result:
        file = tmp_path / "nightly.yml"
        file.write_text(yaml.safe_dump(config))
        return CliRunner().invoke(app, ["import", str(file), *options])

    return run


def changed(**keys: Any) -> dict[str, Any]:
    """The config with some of its keys set, and without those that are `...`."""
    return {key: value for key, value in {**CONTINUED, **keys}.items() if value is not ...}


def test_a_relora_config_becomes_the_spec_that_says_the_same(imported: Any) -> None:
    result = imported(CONTINUED, "--steps", "1000", "--gpus", "2")
    spec = yaml.safe_load(result.stdout)
    assert spec == {
        "name": "nightly",
        "model": {"pretrained": "acme/tiny-llama"},
        "data": {
            "train": {"uri": "hf://acme/books?split=train", "text_field": "body"},
            "validation": {"fraction": 0.05},
            "sequence_length": 2048,
        },
        "method": {
            "name": "relora",
            "rank": 8,
            "alpha": 16,
            "dropout": 0.05,
            "target_modules": "all_linear",
            "frozen_dtype": "nf4",
            "warm_start_steps": 0,
            "reset_every": 150,
            "optimizer_reset": {"mode": "magnitude", "ratio": 0.8},
        },
        "training": {
            "steps": 1000,
            "global_batch_size": 16,
            "micro_batch_size": 4,
            "precision": "bf16",
            "gradient_checkpointing": "full",
            "log_every": 1,
        },
        "optimizer": {
            "name": "adamw_8bit",
            "learning_rate": 0.0002,
            "low_rank_learning_rate": 0.0002,
            "betas": [0.9, 0.999],
        },
        "schedule": {
            "name": "jagged_cosine",
            "warmup_steps": 100,
            "restart_warmup_steps": 10,
            "min_lr_ratio": 0.0,
        },
        "checkpoint": {"every": 250},
        "resources": {"gpus": 2},
    }
    assert JobSpec.model_validate(spec).reset_every == 150


def test_each_key_that_is_not_carried_over_is_told_with_the_reason(imported: Any) -> None:
    result = imported(changed(flash_attention=True, an_unknown_key=3), "--steps", "1000")
    told = dict(line.removeprefix("note: ").split(": ", 1) for line in result.stderr.splitlines())
    assert told == {
        "model_type": "the config of the model says it",
        "output_dir": "the service stores the files of a job; `relora jobs download` fetches them",
        "num_epochs": "a spec counts steps",
        "evals_per_epoch": "a spec counts steps; set `evaluation.every`",
        "flash_attention": "relora chooses the implementation of attention by itself",
        "an_unknown_key": "a spec has nothing like it",
    }


@pytest.mark.parametrize(
    ("keys", "path", "value"),
    [
        ({"adapter": ..., "relora": ..., "load_in_4bit": ...}, "method", {"name": "full"}),
        ({"relora_prune_method": "reset", "relora_prune_ratio": ...}, "method.optimizer_reset",
         {"mode": "random", "ratio": 0.999}),
        ({"relora_prune_ratio": 1.0}, "method.optimizer_reset", {"mode": "zero"}),
        ({"lora_target_linear": False, "lora_target_modules": ["q_proj"]}, "method.target_modules",
         ["*.q_proj"]),
        ({"load_in_4bit": False, "load_in_8bit": True, "adapter": "lora"}, "method.frozen_dtype",
         "int8"),
        ({"relora": False}, "schedule.name", "cosine"),
        ({"reinit_weights": True}, "tokenizer", {"pretrained": "acme/tiny-llama"}),
        ({"datasets": [{"path": place, "type": "completion"} for place in ("a/b", "./c")]},
         "data.train", {"uri": ["hf://a/b", "./c"], "text_field": "text"}),
        ({"pretraining_dataset": "a/b", "datasets": ...}, "data.train.uri", "hf://a/b"),
        ({"datasets": [{"path": "json", "data_files": "x.jsonl", "type": "completion"}]},
         "data.train.uri", "x.jsonl"),
        ({"max_steps": 500, "eval_steps": 50}, "evaluation.every", 50),
        ({"bf16": False}, "training.precision", "fp32"),
        ({"fsdp_config": {"fsdp_version": 2}, "optimizer": "adamw_torch"}, "training.parallelism",
         "fsdp"),
        ({"wandb_project": "runs"}, "trackers", [{"name": "wandb", "project": "runs"}]),
    ],
)  # fmt: skip
def test_a_key_is_carried_over(imported: Any, keys: Any, path: str, value: object) -> None:
    found = yaml.safe_load(imported(changed(**keys), "--steps", "1000").stdout)
    for name in path.split("."):
        found = found[name]
    assert found == value


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"num_epochs": 3}, "num_epochs: a spec counts optimizer steps, not epochs"),
        ({"max_steps": 9, "datasets": [{"path": "a/b", "type": "alpaca"}]},
         "datasets.type: alpaca makes prompts of the data"),
        ({"max_steps": 9, "rl": "dpo"}, "rl: relora trains on text"),
        ({"max_steps": 9, "peft_use_dora": True}, "peft_use_dora: relora has no DoRA"),
        ({"max_steps": 9, "adapter": "llama-adapter"}, "adapter: must be lora or qlora"),
        ({"max_steps": 9, "adapter": ...}, "adapter: `relora: true` needs"),
        ({"max_steps": 9, "jagged_restart_steps": ...}, "jagged_restart_steps: "),
        ({"max_steps": 9, "relora_prune_ratio": 0}, "relora_prune_ratio: a restart has to clear"),
        ({"max_steps": 9, "lora_target_linear": False, "lora_target_modules": ".*_proj"},
         "lora_target_modules: is a regular expression"),
        ({"max_steps": 9, "datasets": ...}, "datasets: names the data, and is not there"),
        ({"max_steps": 9, "learning_rate": "fast"}, "learning_rate: must be a number"),
        ({"max_steps": 9, "base_model": ...}, "base_model: required"),
        ({"max_steps": 1000, "lora_dropout": 1.5}, "no valid spec comes of it\n  method.dropout"),
    ],
)  # fmt: skip
def test_a_config_that_no_spec_could_mean_is_refused(imported: Any, keys: Any, told: str) -> None:
    result = imported(changed(**keys))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"error: {told}" in result.stderr


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"sample_packing": False}, "sample_packing: relora always packs documents"),
        ({"val_set_size": 0}, "val_set_size: relora always evaluates"),
        ({"bf16": ..., "fp16": True}, "fp16: the arithmetic of a spec is bf16 or fp32"),
        ({"optimizer": "lion_8bit"}, "optimizer: relora has adamw and adamw_8bit"),
        ({"lr_scheduler": "linear"}, "lr_scheduler: relora has no such schedule"),
        ({"relora": False}, "jagged_restart_steps: only `relora: true` has restarts"),
        ({"wandb_project": "runs"}, "wandb_project: needs `secrets: {WANDB_API_KEY: NAME}`"),
        ({"datasets": [{"path": "a/b", "type": "completion", "shards": 2}]},
         "datasets.shards: a spec has nothing like it"),
    ],
)  # fmt: skip
def test_what_is_carried_over_in_part_is_told(imported: Any, keys: Any, told: str) -> None:
    result = imported(changed(**keys), "--steps", "1000")
    assert result.exit_code == 0
    assert f"note: {told}" in result.stderr
