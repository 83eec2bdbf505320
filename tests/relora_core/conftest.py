import gzip
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # if imported later, its defaults would hold the group
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from relora_core.distributed.world import World
from relora_core.events import AnyTrainEvent, Event
from relora_core.spec import TrainSpec
from tests.relora_core.forks import Fork, forking
from tests.relora_core.processes import Start, starting

ROOT = Path(__file__).parents[2]
TINY_LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}

T = TypeVar("T", bound=Event)
MakeSpec = Callable[..., TrainSpec]
MakeModel = Callable[..., PreTrainedModel]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 60 chapters of the text that the repository ships."""
    file = tmp_path_factory.mktemp("corpus") / "genesis.jsonl"
    with gzip.open(ROOT / "examples" / "data" / "kjv.jsonl.gz", "rt") as source:
        file.write_text("".join(line for line, _ in zip(source, range(60), strict=False)))
    return file


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token shards, made once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def make_spec(corpus: Path) -> MakeSpec:
    """A run of 12 steps with a warm start of 4 and restarts at 8; keywords replace its parts."""

    def make(**changes: dict[str, Any] | str) -> TrainSpec:
        document: dict[str, Any] = {
            "model": {"config": TINY_LLAMA},
            "tokenizer": {"train": {"vocab_size": 300}},
            "data": {
                "train": {"uri": str(corpus)},
                "validation": {"fraction": 0.1},
                "sequence_length": 32,
            },
            "method": {"name": "relora", "rank": 4, "warm_start_steps": 4, "reset_every": 4},
            "training": {
                "steps": 12,
                "global_batch_size": 4,
                "precision": "fp32",
                "compile": False,
                "log_every": 1,
            },
            "optimizer": {"learning_rate": 3e-3},
            "evaluation": {"every": None, "tokens": 1000},
            "spectrum": {"enabled": False},  # it has tests of its own, and takes its time
            "checkpoint": {"every": 5},
            "export": {"dtype": "fp32"},
        }
        for part, change in changes.items():
            below = document.get(part, {})
            document[part] = {**below, **change} if isinstance(change, dict) else change
        return TrainSpec.model_validate(document)

    return make


@pytest.fixture
def start(tmp_path: Path, cache: Path) -> Iterator[Start]:
    """Start the trainer on `tmp_path / name`, in one process or more."""
    with starting(tmp_path, cache) as begin:
        yield begin


@pytest.fixture
def fork(tmp_path: Path, cache: Path) -> Iterator[Fork]:
    """Train in `tmp_path / name` in forks of a process that has loaded the trainer."""
    with forking(tmp_path, cache) as begin:
        yield begin


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[World]:
    """A process group of this process alone."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    yield World(rank=0, size=1, device=torch.device("cpu"))
    dist.destroy_process_group()


@pytest.fixture
def last_of_four() -> Iterator[World]:
    """The last rank of two nodes with two ranks. The others do not exist: nothing is exchanged."""
    dist.init_process_group("fake", store=FakeStore(), rank=3, world_size=4)
    yield World(rank=3, size=4, device=torch.device("cpu"), nodes=2)
    dist.destroy_process_group()


@pytest.fixture
def forbid_sync() -> Iterator[Callable[[], None]]:
    """Called, it lets each wait for the GPU fail, until the test ends or allows them again."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.fixture
def make_model() -> MakeModel:
    """A tiny random model, by default a Llama with two layers."""

    def make(**config: Any) -> PreTrainedModel:
        torch.manual_seed(0)
        fields = config or {**TINY_LLAMA, "vocab_size": 300}
        model_type = fields.pop("model_type")
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(model_type, **fields)
        )
        return model

    return make


def assert_same_weights(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Each tensor that is expected was found, to the bit."""
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


class Recorder:
    """Keeps what a run reports."""

    def __init__(self) -> None:
        self.events: list[AnyTrainEvent] = []

    def __call__(self, event: AnyTrainEvent) -> None:
        self.events.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()
