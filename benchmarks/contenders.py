"""The compared trainers: this project's, and peft, both as users run it and compiled."""

import tempfile
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.workloads import MethodName, Workload
from relora_core.data.loader import BatchLoader
from relora_core.data.order import Mixture
from relora_core.events import AnyTrainEvent
from relora_core.methods.full import Full
from relora_core.tasks import build_task
from relora_core.tasks.task import Task
from relora_core.training.train import train

if TYPE_CHECKING:
    from peft import PeftModel

BetweenSteps = Callable[[], None]


def silent(event: AnyTrainEvent) -> None:
    """Ignore the event."""


@dataclass(frozen=True)
class Ours:
    """`relora_core.train` itself, with everything that it does in and around a step."""

    name: str
    workload: Workload
    method: MethodName
    cache: Path

    def train(self, between_steps: BetweenSteps) -> None:
        def stop_requested() -> bool:  # asked before each step
            between_steps()
            return False

        spec = self.workload.spec(self.method)
        with tempfile.TemporaryDirectory() as folder:
            train(spec, Path(folder), silent, stop_requested, cache=self.cache)


@dataclass(frozen=True)
class PeftCompiled:
    """A plain training loop over a compiled peft model: the fastest that peft can be."""

    workload: Workload
    cache: Path
    device: str
    name: str = "peft_compiled"

    def train(self, between_steps: BetweenSteps) -> None:
        task, model = _task_and_model(self.workload, self.cache)
        model.to(self.device)
        model.compile()
        _train_plainly(model, task, self.workload, device=self.device, between_steps=between_steps)


@dataclass(frozen=True)
class Plain:
    """A plain training loop over the full-rank model, with the data loader of this project."""

    workload: Workload
    cache: Path
    name: str = "plain"

    def train(self, between_steps: BetweenSteps) -> None:
        task = build_task(self.workload.spec("full"), cache=self.cache, emit=silent)
        model = task.build_model(Full())
        _train_plainly(model, task, self.workload, device="cpu", between_steps=between_steps)


def _train_plainly(
    model: nn.Module, task: Task, workload: Workload, *, device: str, between_steps: BetweenSteps
) -> None:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, fused=True)
    size = workload.sequences
    with closing(BatchLoader(task.train, global_batch_size=size, seed=0)) as batches:
        step = 0
        while True:
            between_steps()
            batch = batches.batch(step).to(torch.device(device))
            with _autocast(workload, device):
                _loss(model, batch.inputs, batch.targets).backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1


def _autocast(workload: Workload, device: str) -> torch.autocast | nullcontext[None]:
    if workload.precision == "bf16":
        return torch.autocast(device, dtype=torch.bfloat16)
    return nullcontext()


def _task_and_model(workload: Workload, cache: Path) -> tuple[Task, "PeftModel"]:
    """Return the data and the model of a low-rank run. peft makes the model low-rank."""
    from benchmarks.peft_model import peft_model  # late: it needs the extra `bench`

    task = build_task(workload.spec("lora"), cache=cache, emit=silent)
    return task, peft_model(task.build_model(Full()), workload)


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    logits = model(input_ids=inputs).logits  # (n, sequence_length, vocabulary)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


@dataclass(frozen=True)
class PeftTrainer:
    """peft LoRA in `transformers.Trainer`, with its defaults."""

    workload: Workload
    cache: Path
    device: str
    name: str = "peft_trainer"

    def train(self, between_steps: BetweenSteps) -> None:
        from benchmarks.peft_model import transformers_trainer

        task, model = _task_and_model(self.workload, self.cache)
        assert not isinstance(task.train, Mixture)
        with tempfile.TemporaryDirectory() as folder:
            transformers_trainer(
                model,
                task.train,
                self.workload,
                folder=Path(folder),
                device=self.device,
                between_steps=between_steps,
            ).train()
