import math
from pathlib import Path

import torch

from relora_core.events import from_line, to_line
from relora_core.tasks import build_task
from tests.relora_core.conftest import MakeSpec


def test_a_loss_beyond_what_exp_can_hold_is_reported_with_an_infinite_perplexity(
    make_spec: MakeSpec, cache: Path
) -> None:
    task = build_task(make_spec(), cache=cache, emit=lambda _: None)
    scores = task.evaluated(3, torch.tensor([7500.0, 10], dtype=torch.float64))
    assert (scores.loss, scores.perplexity) == (750.0, math.inf)
    assert from_line(to_line(scores).encode()) == scores
