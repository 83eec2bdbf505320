"""What is trained: model, batch, data, and the spec of each method that trains it."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.machine import ROOT, Precision
from relora_core.presets import MODELS
from relora_core.spec import TrainSpec

RANK = 128
VOCABULARY = 5376  # of a model cut to few layers
RESET_EVERY = 1000  # the paper's highest frequency, and so the dearest
CORPUS = ROOT / "examples" / "data" / "kjv.jsonl.gz"

MethodName = Literal["full", "lora", "relora"]


@dataclass(frozen=True)
class Workload:
    """A model and a batch that all contenders of a comparison share."""

    name: str
    config: dict[str, Any]  # of transformers, with its vocab_size
    sequences: int  # of a step, all in one micro-batch
    precision: Precision
    sequence_length: int = 512
    rank: int = RANK
    frozen_dtype: str | None = None  # None: bf16, or fp32 if that is the precision
    compile: bool = True
    corpus: Path = CORPUS

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.sequences * self.sequence_length

    def spec(self, method: MethodName) -> TrainSpec:
        """A run that never ends: who measures it stops it."""
        batch = {"global_batch_size": self.sequences, "micro_batch_size": self.sequences}
        return TrainSpec.model_validate(
            {
                "name": self.name,
                "model": {"config": self.config},
                "tokenizer": {"train": {"vocab_size": min(VOCABULARY, self.config["vocab_size"])}},
                "data": {
                    "train": {"uri": str(self.corpus)},
                    "sequence_length": self.sequence_length,
                },
                "method": self._method(method),
                "training": {
                    **batch,
                    "steps": 1_000_000,
                    "precision": self.precision,
                    "compile": self.compile,
                },
                # a whole micro-batch: another size would make compiled kernels dynamic
                "evaluation": {"every": None, "tokens": self.tokens},
                "spectrum": {"enabled": False},
                "checkpoint": {"every": 1_000_000},
            }
        )

    def _method(self, name: MethodName) -> dict[str, Any]:
        default = "bf16" if self.precision == "bf16" else "fp32"
        return {
            "name": name,
            "rank": self.rank,
            "frozen_dtype": self.frozen_dtype or default,
            "warm_start_steps": 0,  # low rank from the first step: it is what is measured
            "reset_every": RESET_EVERY,
        }


def narrow(
    layers: int, *, precision: Precision, hidden: int = 1024, sequences: int = 8
) -> Workload:
    """Layers of llama_350m, or narrower ones, few enough for a CPU.

    With so few tokens the head of 4 layers takes the share of the arithmetic, a tenth, that it
    takes in the whole llama_350m with its 32,100.
    """
    sizes = {1024: ("llama_350m", 16), 256: ("llama_20m", 4)}
    preset, heads = sizes[hidden]
    shape = {"num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": VOCABULARY}
    config = {**MODELS[preset], **shape}
    return Workload(f"llama, hidden {hidden}, {layers} layers", config, sequences, precision)


def preset(name: str, *, sequences: int, precision: Precision) -> Workload:
    """With the vocabulary of the paper."""
    return Workload(name, MODELS[name], sequences, precision)


def plain_corpus(folder: Path, *, copies: int) -> Path:
    """The corpus so many times as JSON lines; each copy's documents begin with its number."""
    file = folder / f"corpus-{copies}.jsonl"
    lines = gzip.decompress(CORPUS.read_bytes()).decode().splitlines(keepends=True)
    with file.open("w") as out:
        for copy in range(copies):
            marked = (line.replace('"text": "', f'"text": "{copy} ', 1) for line in lines)
            out.writelines(marked)
    return file
