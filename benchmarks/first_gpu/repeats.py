"""Whether two equal runs, and a resumed one, end with the same numbers: what the kernels repeat."""

from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.first_gpu.part import Results, Setting
from benchmarks.first_gpu.runs import Run, run, short_spec
from relora_core.spec import TrainingSpec
from relora_core.workdir.files import FINAL

STEPS = 24


def compare(setting: Setting) -> Results:
    """Tell the facts by default and with `training.deterministic`; neither is required here."""
    yield "by_default", _equal(setting, "default")
    if "deterministic" in TrainingSpec.model_fields:
        yield "deterministic", _equal(setting, "deterministic", deterministic=True)


def _equal(setting: Setting, name: str, **training: Any) -> dict[str, Any]:
    spec = short_spec(
        setting, steps=STEPS, training={"compile": False, **training}, export={"dtype": "fp32"}
    )
    middle = STEPS // 2 + 1
    whole, again = (run(spec, setting, f"{name}-{number}") for number in (1, 2))
    run(spec, setting, f"{name}-cut", stop_requested=lambda begun: middle in begun.losses)
    resumed = run(spec, setting, f"{name}-cut")
    return {
        "two_runs_have_equal_losses": whole.losses == again.losses,
        "two_runs_have_equal_weights": _same_weights(whole, again),
        "a_resumed_run_has_equal_losses": resumed.losses.items() <= whole.losses.items(),
        "a_resumed_run_has_equal_weights": _same_weights(whole, resumed),
        "resumed_steps": len(resumed.losses),
        "largest_difference_of_a_loss": max(
            abs(loss - whole.losses[step])
            for other in (again, resumed)
            for step, loss in other.losses.items()
        ),
    }


def _same_weights(one: Run, other: Run) -> bool:
    mine, theirs = (load_file(each.folder / FINAL / "model.safetensors") for each in (one, other))
    return all(torch.equal(mine[name], theirs[name]) for name in mine)
