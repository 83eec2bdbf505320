"""What a step does when the memory runs out; the losses themselves are in test_train."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from relora_core.data.batch import Batch
from relora_core.errors import OutOfMemory
from relora_core.events import StepFinished, Warned
from relora_core.tasks.causal_lm import CausalLM
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder


def memory_for(sequences: int, monkeypatch: pytest.MonkeyPatch, *, from_step: int = 0) -> None:
    """Let training run out of memory with more sequences at once."""
    seen: list[int] = []

    sum_of_losses = CausalLM.sum_of_losses

    def limited(task: CausalLM, model: nn.Module, batch: Batch) -> Tensor:
        if model.training:
            seen.append(len(batch))
            if len(batch) > sequences and len(seen) > from_step:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return sum_of_losses(task, model, batch)

    monkeypatch.setattr(CausalLM, "sum_of_losses", limited)


@pytest.mark.slow
def test_out_of_memory_halves_the_micro_batch_and_goes_on_with_the_same_numbers(
    tmp_path: Path, cache: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, tight = Recorder(), Recorder()
    train(make_spec(), tmp_path / "roomy", roomy, lambda: False, cache=cache)
    memory_for(1, monkeypatch, from_step=2)
    train(make_spec(), tmp_path / "tight", tight, lambda: False, cache=cache)
    warnings = tight.of(Warned)[:2]
    assert [(event.code, event.step) for event in warnings] == [("out_of_memory", 2)] * 2
    assert warnings[1].message == (
        "2 sequences at once were too many for the memory before step 2; going on with 1"
    )
    expected = [event.loss for event in roomy.of(StepFinished)]
    assert [event.loss for event in tight.of(StepFinished)] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("size", "memory"), [(4, 2), ("auto", 0)])
def test_out_of_memory_is_told_where_nothing_can_shrink(
    size: int | str,
    memory: int,
    tmp_path: Path,
    cache: Path,
    make_spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory_for(memory, monkeypatch)
    spec = make_spec(training={"micro_batch_size": size})
    with pytest.raises(OutOfMemory, match="lower training"):
        train(spec, tmp_path, Recorder(), lambda: False, cache=cache)
