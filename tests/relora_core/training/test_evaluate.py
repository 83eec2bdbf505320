"""The score of a model is its loss over tokens: no batch counts for more than another."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from relora_core.data.batch import Batch
from relora_core.distributed.world import World
from relora_core.events import Evaluated
from relora_core.methods.full import Full
from relora_core.tasks import build_task
from relora_core.tasks.task import Task
from relora_core.training.evaluate import evaluate
from tests.relora_core.conftest import MakeSpec

CPU = World(rank=0, size=1, device=torch.device("cpu"))
TOKENS = 1000  # 31 sequences of 32, so that 4 and 7 leave a smaller last batch


@pytest.fixture
def task(make_spec: MakeSpec, cache: Path) -> Task:
    spec = make_spec(evaluation={"every": None, "tokens": TOKENS})
    return build_task(spec, cache=cache, emit=lambda _: None)


@pytest.fixture
def model(task: Task) -> PreTrainedModel:
    """Far from uniform, so that sequences differ in loss."""
    model = task.build_model(Full()).eval()
    torch.nn.init.normal_(model.get_output_embeddings().weight, std=1.0)
    return model


def score(task: Task, model: PreTrainedModel, batch_size: int) -> Evaluated:
    objective = task.objective(model)

    def measure(batch: Batch) -> torch.Tensor:
        return task.measure(objective, batch)

    scored, _ = evaluate(task, measure, CPU, step=0, batch_size=batch_size)
    return scored


@torch.no_grad()
def losses_by_token(task: Task, model: PreTrainedModel) -> torch.Tensor:
    """Each token by itself, in fp64 from the logits on."""
    first = np.arange(TOKENS // 32)
    batch = task.validation[0].dataset.examples(first, first)
    logits = model(input_ids=batch.inputs).logits.double()
    return -logits.log_softmax(-1).gather(-1, batch.targets.unsqueeze(-1)).flatten()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 31, 100])
def test_it_is_the_mean_over_tokens_whatever_the_batch(
    batch_size: int, task: Task, model: PreTrainedModel
) -> None:
    losses = losses_by_token(task, model)
    event = score(task, model, batch_size)
    assert event.tokens == losses.numel() == 31 * 32
    assert event.loss == pytest.approx(float(losses.mean()), rel=1e-6)
    assert event.perplexity == pytest.approx(math.exp(float(losses.mean())), rel=1e-5)


def test_all_batches_have_the_size_that_kernels_were_compiled_for(
    task: Task, model: PreTrainedModel
) -> None:
    shapes: list[torch.Size] = []
    model.base_model.register_forward_pre_hook(
        lambda _module, _inputs, named: shapes.append(named["input_ids"].shape), with_kwargs=True
    )
    score(task, model, batch_size=7)
    rounds = 5  # of 31 sequences; the last one has 3
    assert shapes[-rounds:] == [torch.Size([7, 32])] * rounds


def test_no_batch_is_larger_than_what_is_scored(task: Task, model: PreTrainedModel) -> None:
    seen: list[int] = []
    objective = task.objective(model)

    def measure(batch: Batch) -> torch.Tensor:
        seen.append(len(batch))
        return task.measure(objective, batch)

    evaluate(task, measure, CPU, step=0, batch_size=100)
    assert seen == [31]


def test_the_released_way_would_come_out_lower(task: Task, model: PreTrainedModel) -> None:
    """It counted one batch too many: the sum of the batches' means over their number and one."""
    losses = losses_by_token(task, model).split(4 * 32)
    released = sum(float(batch.mean()) for batch in losses) / (len(losses) + 1)
    assert released < 0.9 * score(task, model, 4).loss
