"""Ranks that differ are told, never trained on."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from relora_core.distributed.replicas import check_replicas
from relora_core.distributed.world import World
from relora_core.errors import ReplicasDiffer
from relora_core.events import CheckpointSaved, StepFinished, TrainFailed
from tests.relora_core.conftest import TINY_LLAMA, MakeModel, MakeSpec
from tests.relora_core.forks import Fork
from tests.relora_core.processes import LONGEST_RUN, events_in
from tests.relora_core.sharding import sharded


@pytest.mark.parametrize("differs", [None, 1, 3])
def test_nodes_that_share_rows_compare_those_that_are_the_same(
    differs: int | None,
    last_of_four: World,
    make_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def all_gather(_: World, mine: torch.Tensor) -> torch.Tensor:
        others = mine + 1  # of the other rows
        on_ranks = torch.stack([others, mine, others, mine])
        if differs is not None:
            on_ranks[differs, 0] += 1
        return on_ranks

    monkeypatch.setattr(World, "all_gather", all_gather)
    parallelism = sharded(last_of_four, make_model, {**TINY_LLAMA, "vocab_size": 300})
    model = parallelism.apply(parallelism.build())
    with nullcontext() if differs is None else pytest.raises(ReplicasDiffer) as refused:
        check_replicas(model, last_of_four, step=7)
    if refused is not None:
        # which of the two is wrong, nobody knows: the first node counts as right
        assert "before step 7, model.embed_tokens.weight differ on rank 3" in str(refused.value)


def test_rows_that_one_rank_alone_has_are_not_compared(
    last_of_four: World, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(World, "all_gather", lambda *_: pytest.fail("nothing to compare"))
    one_node = replace(last_of_four, nodes=1)
    parallelism = sharded(one_node, make_model, {**TINY_LLAMA, "vocab_size": 300})
    check_replicas(parallelism.apply(parallelism.build()), one_node, step=7)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "steps", "checkpoints", "message"),
    [
        (
            "diverge:factors",
            8,
            [3, 6],
            "before step 8, model.layers.0.self_attn.q_proj.lora_a, "
            "model.layers.0.self_attn.k_proj.lora_a, model.layers.0.self_attn.v_proj.lora_a "
            "and 12 more differ on rank 1",
        ),
        ("diverge:weights", 3, [], "before step 3, model.embed_tokens.weight, "),
    ],
    ids=["factors", "weights"],
)
def test_a_rank_that_goes_off_fails_the_run_at_once(
    fault: str,
    steps: int,
    checkpoints: list[int],
    message: str,
    fork: Fork,
    tmp_path: Path,
    make_spec: MakeSpec,
) -> None:
    spec = make_spec(checkpoint={"every": 3})
    assert fork(spec, processes=2, fault=fault).wait(LONGEST_RUN) == 1
    events = events_in(tmp_path / "run")
    failed = events[-1]
    assert isinstance(failed, TrainFailed)
    assert (failed.code, failed.retryable) == ("replicas_differ", False)
    assert message in failed.message
    assert max(event.step for event in events if isinstance(event, StepFinished)) == steps
    saved = [event.step for event in events if isinstance(event, CheckpointSaved)]
    assert saved == checkpoints  # none of what differs
