"""Train LoRA, ReLoRA and full rank on the shipped text and draw the spectra of their updates.

    python examples/spectrum.py [PICTURE]

It takes about two minutes on two CPU cores. The three runs share data, seed and warm start, so
their updates are relative to the same weights.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from transformers.utils.logging import disable_progress_bar

from relora_core import train
from relora_core.events import AnyTrainEvent, SpectrumMeasured, TrainFinished
from relora_core.lowrank.spectrum import SpectrumFile
from relora_core.lowrank.spectrum_picture import draw_values, mark_rank
from relora_core.spec import METHODS, TrainSpec
from relora_core.training.spectrum_report import REPORT

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "pictures" / "spectrum.png"
COLORS = {"lora": "tab:orange", "relora": "tab:blue", "full": "tab:green"}
WIDTH, RANK, WARM_START, CYCLE, STEPS = 64, 4, 100, 100, 900


def main(picture: Path) -> None:
    disable_progress_bar()
    with TemporaryDirectory() as folder:
        files = {method: run(method, Path(folder)) for method in COLORS}
    figure = Figure(figsize=(10, 7.5), layout="constrained")
    panels = figure.subplots(2, 2)
    for axes, file in zip(panels.flat, files.values(), strict=False):
        draw_values(axes, file)
        axes.set(title=METHODS[file.method].title, xlim=(0, WIDTH + 1), ylim=(1e-4, 1e2))
    draw_growth(panels.flat[-1], files)
    figure.suptitle(f"The update of the weights since the warm start, step {WARM_START}")
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=100)
    print(picture)


def run(method: str, folder: Path) -> SpectrumFile:
    def tell(event: AnyTrainEvent) -> None:
        if isinstance(event, SpectrumMeasured | TrainFinished):
            print(f"{METHODS[method].title}: {event}")

    workdir = folder / method
    train(spec_of(method), workdir, tell, lambda: False, cache=folder / "cache")
    return SpectrumFile.model_validate_json((workdir / REPORT).read_bytes())


def spec_of(method: str) -> TrainSpec:
    model: dict[str, Any] = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": 172,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    return TrainSpec.model_validate(
        {
            "model": {"config": model},
            "tokenizer": {"train": {"vocab_size": 1024}},
            "data": {
                "train": {"uri": str(ROOT / "examples" / "data" / "kjv.jsonl.gz")},
                "validation": {"fraction": 0.02},
                "sequence_length": 64,
            },
            "method": {
                "name": method,
                "rank": RANK,
                "alpha": 2 * RANK,
                "warm_start_steps": WARM_START,
                "reset_every": CYCLE,
                "frozen_dtype": "fp32",
            },
            "training": {
                "steps": STEPS,
                "global_batch_size": 16,
                "precision": "fp32",
                "compile": False,
            },
            "optimizer": {"learning_rate": 3e-3, "low_rank_learning_rate": 1e-2},
            "schedule": {"restart_warmup_steps": 10},
            "evaluation": {"every": None, "tokens": 50_000},
            "spectrum": {"every": CYCLE, "since_step": WARM_START},
        }
    )


def draw_growth(axes: Axes, files: dict[str, SpectrumFile]) -> None:
    """Draw the numerical rank (solid) and the effective rank (dotted), averaged over the layers."""
    for method, color in COLORS.items():
        file = files[method]
        steps = [file.since_step, *(spectrum.step for spectrum in file.spectra)]
        numerical = [0.0, *(spectrum.mean("numerical_rank") for spectrum in file.spectra)]
        effective = [0.0, *(spectrum.mean("effective_rank") for spectrum in file.spectra)]
        axes.plot(steps, numerical, "o-", markersize=4, color=color, label=METHODS[method].title)
        axes.plot(steps, effective, ":", color=color)
    axes.plot([], [], ":", color="gray", label="effective rank")
    mark_rank(axes, files["relora"], along="y")
    axes.set(
        xlabel="optimizer step", ylabel="numerical rank, mean over layers", ylim=(0, WIDTH + 3)
    )
    axes.set_title("Rank by step")
    axes.legend(fontsize="small", frameon=False, loc="upper left", bbox_to_anchor=(0.25, 0.66))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
