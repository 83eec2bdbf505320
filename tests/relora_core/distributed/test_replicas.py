"""Ranks that differ are told, never trained on; each case runs two real processes."""

from pathlib import Path

import pytest

from relora_core.events import CheckpointSaved, StepFinished, TrainFailed
from tests.relora_core.conftest import MakeSpec
from tests.relora_core.forks import Fork
from tests.relora_core.processes import LONGEST_RUN, events_in

pytestmark = pytest.mark.integration


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
