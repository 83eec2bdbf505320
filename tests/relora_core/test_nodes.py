"""torchrun on two nodes of a network, each with a workdir and a cache of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relora_core.events import TrainStarted, TrainStopped
from relora_core.spec import TrainSpec
from tests.fixtures.network_nodes import NetworkNode
from tests.relora_core.conftest import MakeSpec
from tests.relora_core.forks import Fork
from tests.relora_core.processes import ENDLESS, LONGEST_RUN, events_in, steps_of, wait_for
from tests.relora_core.test_parallel import SPEC, assert_close, assert_close_weights

pytestmark = pytest.mark.slow

TORCHRUN = ["--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
TORCHRUN += ["--rdzv-endpoint", "node-0:29400", "--rdzv-id", "run"]
Nodes = tuple[NetworkNode, NetworkNode]


def start(nodes: Nodes, spec: TrainSpec, folder: Path) -> list[subprocess.Popen[bytes]]:
    """Train with the workdirs `folder / node-0` and `folder / node-1`."""
    file = folder / "spec.json"
    file.write_text(spec.model_dump_json())
    train = [sys.executable, "-m", "torch.distributed.run", *TORCHRUN, "-m", "relora_core", "train"]
    return [
        node.start(
            [*train, str(file), "--workdir", str(folder / node.name), *cache],
            folder / f"{node.name}.log",
        )
        for node in nodes
        for cache in [["--cache", str(folder / f"cache-{node.name}")]]
    ]


def test_two_nodes_train_like_two_processes_of_one(
    network_nodes: Nodes, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(**SPEC, method={"frozen_dtype": "fp32"})
    assert fork(spec, "one-node", processes=2).wait(LONGEST_RUN) == 0
    agents = start(network_nodes, spec, tmp_path)
    assert [agent.wait(LONGEST_RUN) for agent in agents] == [0, 0]
    assert_close(tmp_path / "one-node", tmp_path / "node-0", rel=1e-5)
    final = (tmp_path / name / "final" for name in ("one-node", "node-0"))
    assert_close_weights(*final, rel=1e-4)


def test_a_stop_on_the_main_node_ends_both_and_a_new_start_resumes(
    network_nodes: Nodes, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec: Any = make_spec(**ENDLESS)
    main = tmp_path / "node-0"
    for start_number in (1, 2):
        seen = len(steps_of(main))
        agents = start(network_nodes, spec, tmp_path)
        wait_for(lambda: len(steps_of(main)) >= seen + 20)  # noqa: B023 - it is called at once
        (main / "stop").touch()
        assert [agent.wait(15) for agent in agents] == [0, 0]
        events = events_in(main)
        assert isinstance(events[-1], TrainStopped)
        starts = [event.step for event in events if isinstance(event, TrainStarted)]
        assert len(starts) == start_number
    assert starts[1] > 0
    assert not (tmp_path / "node-1" / "checkpoints").exists()
