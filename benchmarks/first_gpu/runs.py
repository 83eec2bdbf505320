"""Short runs of the trainer in this process, and what their events tell."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.first_gpu.part import Setting
from benchmarks.workloads import CORPUS
from relora_core.events import AnyTrainEvent, Event, StepFinished, TrainFinished, Warned
from relora_core.spec import TrainSpec
from relora_core.training.train import train

T = TypeVar("T", bound=Event)
TINY_DOCUMENTS = 40
# Odd sides, so that the matrices are padded for the units that multiply 8 bits.
SMALL = {"hidden_size": 256, "intermediate_size": 683, "num_attention_heads": 4}
TINY = {"hidden_size": 32, "intermediate_size": 85, "num_attention_heads": 2}
_BLOCKS = {"model_type": "llama", "num_hidden_layers": 2, "max_position_embeddings": 512}


@dataclass
class Run:
    """What a run reported."""

    folder: Path
    events: list[AnyTrainEvent] = field(default_factory=list)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def losses(self) -> dict[int, float]:
        """The loss at each reported step."""
        return {event.step: event.loss for event in self.of(StepFinished)}

    def told(self) -> dict[str, Any]:
        """Return the figures of a run that ended, for the results."""
        end = self.of(TrainFinished)[-1]
        return {
            "losses": [round(loss, 4) for loss in self.losses.values()],
            "validation_loss": end.loss,
            "skipped_steps": end.skipped_steps,
            "restarts": end.restarts,
            "seconds": round(end.seconds, 1),
            "peak_memory_bytes": end.peak_memory_bytes,
            "warnings": [event.message for event in self.of(Warned)],
        }


def corpus(setting: Setting) -> Path:
    """Return the text: on a CPU, a few documents of it."""
    if setting.on_gpu:
        return CORPUS
    file = setting.scratch / "small.jsonl"
    if not file.exists():
        with gzip.open(CORPUS, "rt") as documents:
            file.write_text("".join(islice(documents, TINY_DOCUMENTS)))
    return file


def sizes(setting: Setting) -> dict[str, int]:
    return SMALL if setting.on_gpu else TINY


def short_spec(
    setting: Setting, *, steps: int, preset: str | None = None, **parts: dict[str, Any]
) -> TrainSpec:
    """Return a run of ReLoRA with a warm start of a quarter, and a restart every quarter.

    Its model has two narrow layers, unless a `preset` is named.
    """
    quarter = steps // 4
    document: dict[str, dict[str, Any]] = {
        "model": {"preset": preset} if preset else {"config": {**_BLOCKS, **sizes(setting)}},
        "tokenizer": {"train": {"vocab_size": 4096 if setting.on_gpu else 300}},
        "data": {
            "train": {"uri": str(corpus(setting))},
            "validation": {"fraction": 0.02 if setting.on_gpu else 0.1},
            "sequence_length": 512 if setting.on_gpu else 32,
        },
        "method": {
            "name": "relora",
            "rank": 32 if setting.on_gpu else 4,
            "warm_start_steps": quarter,
            "reset_every": quarter,
        },
        "training": {
            "steps": steps,
            "global_batch_size": 16 if setting.on_gpu else 4,
            "micro_batch_size": 8 if setting.on_gpu else 2,
            "precision": "bf16",
            "compile": setting.on_gpu,
            "log_every": 1,
        },
        "optimizer": {"learning_rate": 3e-3},
        "evaluation": {"every": None, "tokens": 8192 if setting.on_gpu else 256},
        "spectrum": {"enabled": False},
        "checkpoint": {"every": 2 * quarter},
    }
    for part, change in parts.items():
        document[part] = {**document.get(part, {}), **change}
    return TrainSpec.model_validate({"name": "first-gpu", **document})


def run(
    spec: TrainSpec,
    setting: Setting,
    name: str,
    *,
    stop_requested: Callable[[Run], bool] = lambda _: False,
) -> Run:
    """Train in the folder `name`, or resume there."""
    started = Run(setting.scratch / name)
    started.folder.mkdir(exist_ok=True)
    train(
        spec,
        started.folder,
        started.events.append,
        lambda: stop_requested(started),
        cache=setting.cache,
    )
    return started
