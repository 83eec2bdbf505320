from pathlib import Path
from typing import cast

import pytest
import torch

from relora_core.distributed.world import World
from relora_core.export.hf_model import export
from relora_core.lowrank.inject import inject
from relora_core.lowrank.linear import LowRankLinear
from relora_core.spec import ReloraMethod
from relora_core.state import Counters
from relora_core.tasks.task import TaskParts
from tests.relora_core.conftest import MakeModel, MakeSpec


def test_of_equal_replicas_only_the_main_one_merges_and_writes(
    make_model: MakeModel, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    inject(model, ReloraMethod(rank=4))
    merged: list[LowRankLinear] = []
    monkeypatch.setattr(LowRankLinear, "merged", merged.append)
    other = World(rank=1, size=2, device=torch.device("cpu"))
    no_task = cast(TaskParts, None)  # it is not needed to write nothing
    size = export(
        model, no_task, tmp_path / "final", spec=make_spec(), counters=Counters(), world=other
    )
    assert (size, merged, list(tmp_path.iterdir())) == (0, [], [])
