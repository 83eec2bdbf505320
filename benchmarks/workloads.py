"""The workloads: the model, the batch, the data, and the spec of each method."""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.machine import ROOT, Precision
from relora_core.presets import MODELS
from relora_core.spec import TrainSpec

RANK = 128
VOCABULARY = 5376  # of a model with few layers
RESET_EVERY = 1000  # the most frequent resets in the paper, so the most expensive
CORPUS = ROOT / "examples" / "data" / "kjv.jsonl.gz"

MethodName = Literal["full", "lora", "relora"]


@dataclass(frozen=True)
class Workload:
    """A model and a batch that all contenders of a comparison share."""

    name: str
    config: dict[str, Any]  # the config of transformers, with vocab_size
    sequences: int  # per step, all in one micro-batch
    precision: Precision
    sequence_length: int = 512
    rank: int = RANK
    frozen_dtype: str | None = None  # None: bf16, or fp32 if the precision is fp32
    compile: bool = True
    corpus: Path = CORPUS

    @property
    def tokens(self) -> int:
        """The number of tokens of a step."""
        return self.sequences * self.sequence_length

    def spec(self, method: MethodName) -> TrainSpec:
        """Return the spec of a run that never ends by itself. The benchmark stops it."""
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
                # a whole micro-batch, because another size would make compiled kernels dynamic
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
            "warm_start_steps": 0,  # measure low-rank steps only
            "reset_every": RESET_EVERY,
        }


def narrow(
    layers: int, *, precision: Precision, hidden: int = 1024, sequences: int = 8
) -> Workload:
    """Return a workload with few layers of llama_350m, or of a narrower model, for a CPU.

    The vocabulary is small, so that with 4 layers the head takes a tenth of the arithmetic. That is
    its share in the whole llama_350m with its vocabulary of 32,100.
    """
    sizes = {1024: ("llama_350m", 16), 256: ("llama_20m", 4)}
    preset, heads = sizes[hidden]
    shape = {"num_hidden_layers": layers, "num_attention_heads": heads, "vocab_size": VOCABULARY}
    config = {**MODELS[preset], **shape}
    return Workload(f"llama, hidden {hidden}, {layers} layers", config, sequences, precision)


def preset(name: str, *, sequences: int, precision: Precision) -> Workload:
    """Return the workload of a preset, with the vocabulary of the paper."""
    return Workload(name, MODELS[name], sequences, precision)


def plain_corpus(folder: Path, *, copies: int) -> Path:
    """Write the corpus `copies` times as JSON lines. Return the file.

    The documents of each copy begin with the number of the copy.
    """
    file = folder / f"corpus-{copies}.jsonl"
    lines = gzip.decompress(CORPUS.read_bytes()).decode().splitlines(keepends=True)
    with file.open("w") as out:
        for copy in range(copies):
            marked = (line.replace('"text": "', f'"text": "{copy} ', 1) for line in lines)
            out.writelines(marked)
    return file
