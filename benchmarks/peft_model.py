"""The same model made low-rank by peft, and the trainer that peft users use."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.workloads import Workload
from relora_core.data import batch as relora_batch

ALPHA = 32


def peft_model(model: PreTrainedModel, workload: Workload) -> PeftModel:
    """Return the model with LoRA on every linear layer of the blocks.

    Embeddings, norms and the head are trained in place. `modules_to_save`, which peft's
    documentation recommends, would keep a second copy of each. Frozen weights are stored in the
    same type as in this project.
    """
    config = LoraConfig(
        r=workload.rank,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    low_rank = get_peft_model(model, config)
    assert isinstance(low_rank, PeftModel)
    for name, parameter in low_rank.named_parameters():
        frozen = ".base_layer." in name
        parameter.requires_grad = not frozen
        if frozen and workload.precision == "bf16":
            parameter.data = parameter.data.to(torch.bfloat16)
    return low_rank


class _Sequences(Dataset[dict[str, Tensor]]):
    """The sequences for `Trainer`, which reads them one at a time and shifts the labels itself."""

    def __init__(self, dataset: relora_batch.Dataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        place = np.array([index])
        [ids] = self._dataset.examples(place, place).inputs
        return {"input_ids": ids, "labels": ids}


class _BetweenSteps(TrainerCallback):
    def __init__(self, between_steps: Callable[[], None]) -> None:
        self._between_steps = between_steps

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._between_steps()


def transformers_trainer(
    model: PeftModel,
    dataset: relora_batch.Dataset,
    workload: Workload,
    *,
    folder: Path,
    device: str,
    between_steps: Callable[[], None],
) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=1_000_000,
        per_device_train_batch_size=workload.sequences,
        learning_rate=1e-3,
        bf16=workload.precision == "bf16",
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=_Sequences(dataset),
        callbacks=[_BetweenSteps(between_steps)],
    )
