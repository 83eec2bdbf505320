"""How time scales with four times the data, and with four times the layers."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.contenders import Ours
from benchmarks.interleaved import run_interleaved
from benchmarks.packing import pack_seconds, train_tokenizer
from benchmarks.workloads import Workload, plain_corpus
from relora_core.spec import Source

TIMES = 4


class Scaling(BaseModel):
    """The time per MB or per token at four times the size, divided by that at the base size.

    There is one number for each round. For data, 1.0 is linear. For layers, 4.0 is linear; less is
    usual, because the model has only one embedding and one head.
    """

    model_config = ConfigDict(frozen=True)

    data: list[float]
    layers: list[float]


def measure_scaling(
    models: Sequence[Workload], *, copies: int, device: str, rounds: int, cache: Path
) -> Scaling:
    """Measure how time scales with the data and with the layers.

    `models` are two models: one with few layers and one with four times as many.
    """
    return Scaling(
        data=[_data_scaling(copies, cache) for _ in range(rounds)],
        layers=_layer_scaling(models, device=device, rounds=rounds, cache=cache),
    )


def _data_scaling(copies: int, cache: Path) -> float:
    tokenizer = train_tokenizer(cache)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = [
            pack_seconds(
                Source(uri=str(plain_corpus(folder, copies=n))), tokenizer, folder / str(n)
            )
            / n
            for n in (copies, TIMES * copies)
        ]
    return seconds[1] / seconds[0]


def _layer_scaling(
    models: Sequence[Workload], *, device: str, rounds: int, cache: Path
) -> list[float]:
    few, many = (Ours(workload.name, workload, "relora", cache) for workload in models)
    turns = run_interleaved([few, many], device=device, rounds=rounds, steps=5)
    pairs = zip(turns[many.name], turns[few.name], strict=True)
    return [large.seconds / small.seconds for large, small in pairs]
