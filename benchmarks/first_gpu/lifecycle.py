"""A compiled run through all that happens to one: switch, restarts, checkpoint, resume, export."""

import math
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from benchmarks.first_gpu.part import PartFailed, Results, Setting
from benchmarks.first_gpu.runs import Run, run, short_spec
from relora_core.events import Merged, TrainStopped
from relora_core.spec import TrainSpec
from relora_core.workdir.files import FINAL

STEPS = 24
NEAR = 0.05  # between losses of a run and of its resumed copy: kernels may add in another order


def of_type(setting: Setting, dtype: str) -> Results:
    """Train with frozen weights of a type."""
    yield from _live(setting, f"frozen-{dtype}", method={"frozen_dtype": dtype})


def of_adamw_8bit(setting: Setting) -> Results:
    yield from _live(setting, "adamw-8bit", optimizer={"name": "adamw_8bit"})


def _live(setting: Setting, name: str, **parts: Any) -> Results:
    """Compare a run with one that is stopped and resumed, and load the model that it exports."""
    spec = short_spec(setting, steps=STEPS, **parts)
    whole = run(spec, setting, f"{name}-whole")
    yield "whole", whole.told()
    resumed = _stopped_and_resumed(spec, setting, f"{name}-resumed")
    yield "resumed", resumed.told()
    apart = max(abs(loss - whole.losses[step]) for step, loss in resumed.losses.items())
    yield "largest_difference_of_a_loss", apart
    yield "exported_loss", (exported := _exported_loss(setting, whole))
    restarts = len(whole.of(Merged))
    _require(restarts == 2, f"{restarts} restarts were reported, not 2")
    _require(all(map(math.isfinite, whole.losses.values())), "a loss is not finite")
    _require(whole.losses[STEPS] < whole.losses[1], "the loss did not fall")
    _require(apart < NEAR, f"a loss of the resumed run differs by {apart}")
    _require(math.isfinite(exported), "the exported model gives no finite loss")


def _stopped_and_resumed(spec: TrainSpec, setting: Setting, name: str) -> Run:
    """Stop a run in a cycle of its low-rank phase and return the second half."""
    middle = STEPS // 2 + 1
    stopped = run(spec, setting, name, stop_requested=lambda begun: middle in begun.losses)
    _require(bool(stopped.of(TrainStopped)), "the run was not stopped")
    return run(spec, setting, name)


def _exported_loss(setting: Setting, whole: Run) -> float:
    """Return the loss of the exported model on tokens in order, by transformers alone."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(whole.folder / FINAL)
    model.to(setting.device)  # type: ignore[arg-type] # transformers wraps `to` without its types
    tokens = torch.arange(32, device=setting.device).unsqueeze(0)  # (1, 32)
    with torch.no_grad():
        return float(model(input_ids=tokens, labels=tokens).loss)


def _require(holds: bool, otherwise: str) -> None:  # noqa: FBT001 # reads as an assertion
    if not holds:
        raise PartFailed(otherwise)
