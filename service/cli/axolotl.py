"""Convert a config of axolotl to a job spec."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from relora_core.spec import SpecConflict
from service.cli.axolotl_config import ADAMW_8BIT, Config, DatasetConfig

Part = dict[str, Any]

PLAIN_TEXT = {"completion", "pretrain"}
NEAR_FULL_RESET = 0.999  # axolotl's ratio for `relora_prune_method: reset` without a ratio


def convert(config: Config, *, name: str, steps: int | None, gpus: int) -> Part:
    """Return the spec that means the same as a config.

    Raise `SpecConflict` with the key to change if no spec can mean the same.
    """
    total = steps or config.max_steps
    if total is None:
        raise SpecConflict(
            "num_epochs", "a spec counts optimizer steps, not epochs; give --steps or set max_steps"
        )
    spec = {
        "name": name,
        "model": {
            "pretrained": config.base_model,
            "init": "random" if config.reinit_weights else None,
        },
        "tokenizer": _tokenizer(config),
        "data": _data(config),
        "method": _method(config),
        "training": {"steps": total, **_training(config, gpus)},
        "optimizer": _optimizer(config),
        "schedule": _schedule(config, total),
        "evaluation": {"every": _every(config.eval_steps, total)},
        "checkpoint": {
            "every": _every(config.save_steps, total),
            "keep_last": config.save_total_limit,
        },
        "trackers": list(_trackers(config)),
        "resources": {"gpus": gpus},
    }
    said: Part = _without_none(spec)
    return said


def _tokenizer(config: Config) -> Part | None:
    """Return the tokenizer, or None if the config names none: pretrained models have their own."""
    named = config.tokenizer_config
    if named is None and not config.reinit_weights:
        return None
    return {"pretrained": named or config.base_model}


def _data(config: Config) -> Part:
    key = "pretraining_dataset" if config.pretraining_dataset else "datasets"
    train = _source(key, config.pretraining_dataset or config.datasets)
    held_out = {"fraction": config.val_set_size} if 0 < config.val_set_size < 1 else None
    own = config.test_datasets
    return {
        "train": train,
        "validation": _source("test_datasets", own) if own else held_out,
        "sequence_length": config.sequence_len,
    }


def _source(key: str, datasets: list[DatasetConfig]) -> Part:
    """Return one source of all datasets.

    Raise `SpecConflict` if there is none, if one is not plain text, or if their text is in
    different fields.
    """
    if not datasets:
        raise SpecConflict(key, "names the data, and is not there")
    for one in datasets:
        if one.type not in PLAIN_TEXT and key != "pretraining_dataset":
            raise SpecConflict(
                f"{key}.type",
                f"{one.type} makes prompts of the data, and relora trains on plain text; write "
                "each conversation as one text first, and use `type: completion`",
            )
    fields = {one.field or one.text_column or "text" for one in datasets}
    if len(fields) > 1:
        raise SpecConflict(key, f"the text is in several fields: {', '.join(sorted(fields))}")
    uris = [uri for one in datasets for uri in _uris(one)]
    return {"uri": uris[0] if len(uris) == 1 else uris, "text_field": fields.pop()}


def _uris(dataset: DatasetConfig) -> list[str]:
    """Return files and folders as they are, and a dataset of the Hub as hf://OWNER/NAME?..."""
    files, path = dataset.data_files, dataset.path
    if files:
        return [files] if isinstance(files, str) else files
    if dataset.ds_type or "://" in path or path.startswith((".", "/", "~")) or Path(path).exists():
        return [path]
    query = {"config": dataset.name, "split": dataset.split, "revision": dataset.revision}
    written = urlencode({key: value for key, value in query.items() if value})
    return [f"hf://{path}?{written}" if written else f"hf://{path}"]


def _method(config: Config) -> Part:
    if not config.relora:
        return {"name": "full"} if config.adapter is None else {"name": "lora", **_factors(config)}
    if config.adapter is None:
        raise SpecConflict("adapter", "`relora: true` needs the adapter lora or qlora")
    if not config.jagged_restart_steps:
        raise SpecConflict("jagged_restart_steps", "`relora: true` needs it")
    return {
        "name": "relora",
        **_factors(config),
        "warm_start_steps": 0,
        "reset_every": config.jagged_restart_steps,
        "optimizer_reset": _optimizer_reset(config),
    }


def _factors(config: Config) -> Part:
    quantized = "int8" if config.load_in_8bit else None
    return {
        "rank": config.lora_r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "target_modules": _targets(config),
        "frozen_dtype": "nf4" if config.load_in_4bit else quantized,
    }


def _targets(config: Config) -> str | list[str] | None:
    targets = config.lora_target_modules
    if config.lora_target_linear or targets in ("all-linear", ["all-linear"]):
        return "all_linear"
    if isinstance(targets, str):
        raise SpecConflict(
            "lora_target_modules", "is a regular expression; give a list of names of layers"
        )
    return [f"*.{name}" for name in targets] if targets else None


def _optimizer_reset(config: Config) -> Part:
    how, ratio = config.relora_prune_method, config.relora_prune_ratio
    if ratio is None:
        ratio = NEAR_FULL_RESET if how == "reset" else 0.9
    if ratio == 0:
        raise SpecConflict("relora_prune_ratio", "a restart has to clear a part of the state")
    if ratio == 1:
        return {"mode": "zero"}
    return {"mode": "magnitude" if how == "magnitude" else "random", "ratio": ratio}


def _training(config: Config, gpus: int) -> Part:
    in_a_step = config.micro_batch_size * config.gradient_accumulation_steps * gpus
    return {
        "global_batch_size": config.batch_size or in_a_step,
        "micro_batch_size": "auto" if config.auto_find_batch_size else config.micro_batch_size,
        "precision": "bf16" if config.bf16 or config.fp16 else "fp32",
        "seed": config.seed,
        "max_grad_norm": config.max_grad_norm,
        "gradient_checkpointing": "full" if config.gradient_checkpointing else None,
        "parallelism": "fsdp" if config.fsdp_config or config.fsdp else None,
        "log_every": config.logging_steps,
    }


def _optimizer(config: Config) -> Part:
    return {
        "name": "adamw_8bit" if config.optimizer in ADAMW_8BIT else "adamw",
        "learning_rate": config.learning_rate,
        "low_rank_learning_rate": config.learning_rate if config.adapter else None,
        "betas": [config.adam_beta1, config.adam_beta2],
        "eps": config.adam_epsilon,
        "weight_decay": config.weight_decay,
    }


def _schedule(config: Config, steps: int) -> Part:
    share = config.warmup_ratio
    shape = "linear" if config.lr_scheduler == "linear" else "cosine"
    return {
        "name": "jagged_cosine" if config.relora else shape,
        "warmup_steps": int(share * steps) if share is not None else config.warmup_steps,
        "restart_warmup_steps": config.jagged_restart_warmup_steps if config.relora else None,
        "min_lr_ratio": config.cosine_min_lr_ratio,
    }


def _every(every: float | None, steps: int) -> int | None:
    """Return the interval in steps. A value below 1 is a share of all steps."""
    return max(1, int(every * steps if every < 1 else every)) if every else None


def _trackers(config: Config) -> Iterator[Part]:
    if config.use_tensorboard:
        yield {"name": "tensorboard"}
    if config.wandb_project and config.wandb_mode != "disabled":
        yield {
            "name": "wandb",
            "project": config.wandb_project,
            "entity": config.wandb_entity,
            "mode": "offline" if config.wandb_mode == "offline" else None,
        }
    if config.mlflow_tracking_uri:
        yield {
            "name": "mlflow",
            "uri": config.mlflow_tracking_uri,
            "experiment": config.mlflow_experiment_name,
        }


def _without_none(value: Any) -> Any:
    """Leave out what the config does not set, so that relora's defaults apply."""
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _without_none(item) for key, item in value.items()}
    return {key: item for key, item in inner.items() if item not in (None, {}, [])}
