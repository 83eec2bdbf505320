"""The cost of 8-bit weights: the error of one layer, and the validation loss of small runs.

`python -m benchmarks.rounding --save` writes the table to docs/method.md. It takes about ten
minutes.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from benchmarks.machine import ROOT, Machine, describe_machine
from benchmarks.page_table import PageTable
from benchmarks.results import FOLDER
from benchmarks.workloads import CORPUS, narrow
from relora_core.events import AnyTrainEvent, Evaluated
from relora_core.lowrank.frozen import FrozenWeight, build_frozen
from relora_core.spec import FrozenDtype, TrainSpec, Variant
from relora_core.training.train import train

SEEDS = (0, 1)
STEPS, LAYERS, SEQUENCES, VALIDATION_TOKENS = 300, 2, 8, 16_384
TYPES: tuple[FrozenDtype, ...] = ("bf16", "int8", "fp8")
RUNS: dict[str, tuple[FrozenDtype, Variant]] = {
    "bf16": ("bf16", "auto"),
    "int8, dequantized (`variant: merged`)": ("int8", "merged"),
    "int8": ("int8", "branches"),
    "fp8": ("fp8", "branches"),
}
D_OUT, D_IN, TOKENS = 1024, 2736, 512


class LayerErrors(BaseModel):
    """The relative errors of y = x W' and of the gradient of x, where x and g are bf16."""

    model_config = ConfigDict(frozen=True)

    y: float
    x_grad: float


class Rounding(BaseModel):
    model_config = ConfigDict(frozen=True)

    machine: Machine
    errors: dict[str, dict[FrozenDtype, LayerErrors]]  # by the distribution of x
    losses: dict[str, list[float]]  # the validation loss at the end, for each seed

    @classmethod
    def measure(cls, *, steps: int, cache: Path) -> "Rounding":
        return cls(
            machine=describe_machine(),
            errors={name: _errors(x) for name, x in _inputs().items()},
            losses={
                name: [_loss(*run, seed=seed, steps=steps, cache=cache) for seed in SEEDS]
                for name, run in RUNS.items()
            },
        )


def _inputs() -> dict[str, Tensor]:
    gate, up = _normal(TOKENS, D_IN, seed=1), _normal(TOKENS, D_IN, seed=2)
    spiked = gate.clone()
    spiked[:, ::500] *= 100  # a few columns, as trained models have them
    return {"normal": gate, "SwiGLU: silu(normal) normal": F.silu(gate) * up, "spiked": spiked}


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _errors(x: Tensor) -> dict[FrozenDtype, LayerErrors]:
    weight, grad = _normal(D_OUT, D_IN, seed=3), _normal(TOKENS, D_OUT, seed=4)
    exact = (x @ weight.T, grad @ weight)
    found = {}
    for dtype in TYPES:
        y, x_grad = _forward_backward(build_frozen(weight, dtype), x.bfloat16(), grad.bfloat16())
        found[dtype] = LayerErrors(y=_relative(y, exact[0]), x_grad=_relative(x_grad, exact[1]))
    return found


def _forward_backward(frozen: FrozenWeight, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    x = x.requires_grad_()
    y = frozen.linear(x)
    (x_grad,) = torch.autograd.grad(y, x, grad)
    return y.detach(), x_grad


def _relative(found: Tensor, exact: Tensor) -> float:
    return float((found.float() - exact).norm() / exact.norm())


def _loss(dtype: FrozenDtype, variant: Variant, *, seed: int, steps: int, cache: Path) -> float:
    losses: list[float] = []

    def emit(event: AnyTrainEvent) -> None:
        if isinstance(event, Evaluated):
            losses.append(event.scores["loss"])

    with tempfile.TemporaryDirectory() as folder:
        train(_spec(dtype, variant, seed=seed, steps=steps), Path(folder), emit, cache=cache)
    return losses[-1]


def _spec(dtype: FrozenDtype, variant: Variant, *, seed: int, steps: int) -> TrainSpec:
    quarter = max(1, steps // 4)
    method = {"warm_start_steps": quarter, "reset_every": quarter}
    return TrainSpec.model_validate(
        {
            "model": {"config": narrow(LAYERS, precision="bf16", hidden=256).config},
            "tokenizer": {"train": {"vocab_size": 2048}},
            "data": {
                "train": {"uri": str(CORPUS)},
                "validation": {"fraction": 0.05},
                "sequence_length": 128,
            },
            "method": {
                "name": "relora",
                "rank": 64,
                "frozen_dtype": dtype,
                "variant": variant,
                **method,
            },
            "training": {
                "steps": steps,
                "seed": seed,
                "global_batch_size": SEQUENCES,
                "micro_batch_size": SEQUENCES,
                "precision": "bf16",
                "compile": False,
            },
            "evaluation": {"every": None, "tokens": VALIDATION_TOKENS},
            "spectrum": {"enabled": False},
            "checkpoint": {"every": 1_000_000},
        }
    )


def table(measured: Rounding) -> Iterator[str]:
    yield f"Relative error of a product with W ({D_OUT}, {D_IN}) normal, and of its gradient:"
    yield ""
    yield "| x | " + " | ".join(f"y, {dtype} | gradient of x, {dtype}" for dtype in TYPES) + " |"
    yield "| --- |" + " ---: |" * 2 * len(TYPES)
    for name, errors in measured.errors.items():
        cells = " | ".join(f"{errors[t].y:.2%} | {errors[t].x_grad:.2%}" for t in TYPES)
        yield f"| {name} | {cells} |"
    yield ""
    yield (
        f"Validation loss of llama, hidden 256, {LAYERS} layers, after {STEPS} steps of 8 x 128 "
        "tokens, a quarter of them in full rank, with two restarts, rank 64, bf16:"
    )
    yield ""
    yield "| `frozen_dtype` | " + " | ".join(f"seed {seed}" for seed in SEEDS) + " | mean |"
    yield "| --- |" + " ---: |" * (len(SEEDS) + 1)
    for name, losses in measured.losses.items():
        cells = " | ".join(f"{loss:.4f}" for loss in [*losses, mean(losses)])
        yield f"| {name} | {cells} |"


TABLE = PageTable(
    "rounding", ROOT / "docs" / "method.md", FOLDER / "rounding.json", Rounding, table
)


def measure(cache: Path) -> Rounding:
    return Rounding.measure(steps=STEPS, cache=cache)


if __name__ == "__main__":
    sys.exit(TABLE.run(measure))
