"""How often a run compiles its model: once for training and once for evaluation in each phase."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from relora_core.tasks import head_loss
from relora_core.tasks.next_token import next_token_objective
from relora_core.tasks.token_loss import sum_of_cross_entropies
from relora_core.training.stepper import Stepper
from relora_core.training.train import train
from tests.relora_core.conftest import MakeModel, MakeSpec, Recorder
from tests.relora_core.training.cards import ListedMemory
from tests.relora_core.training.test_micro_batch_probe import (
    SEQUENCES,
    MakeStepper,
    listed,
    make_stepper,
)

__all__ = ["make_stepper"]

pytestmark = pytest.mark.usefixtures("compiler")


@dataclass(frozen=True)
class Graph:
    """A graph that was compiled."""

    trains: bool
    sequences: int | None  # None if it is for any number
    is_static: bool


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """The graphs of the model, in the order in which they are compiled. They run uncompiled."""
    compiled: list[Graph] = []

    def backend(graph: torch.fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        values = [node.meta["example_value"] for node in graph.graph.find_nodes(op="placeholder")]
        tokens = [v for v in values if isinstance(v, torch.Tensor) and v.dtype == torch.int64]
        sizes = [
            size for value in values if isinstance(value, torch.Tensor) for size in value.shape
        ]
        is_static = all(isinstance(size, int) for size in sizes)
        [first, *_] = tokens
        sequences = first.shape[0] if isinstance(first.shape[0], int) else None
        compiled.append(Graph(torch.is_grad_enabled(), sequences, is_static))
        return graph.forward

    compile_module = nn.Module.compile

    def recorded(module: nn.Module, *arguments: Any, **keywords: Any) -> None:
        compile_module(module, *arguments, **{**keywords, "backend": backend})

    monkeypatch.setattr(nn.Module, "compile", recorded)
    monkeypatch.setattr(head_loss, "compiled_sum_of_cross_entropies", sum_of_cross_entropies)
    return compiled


def test_a_phase_has_one_static_graph_to_train_and_one_to_evaluate(
    graphs: list[Graph], make_spec: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    spec = make_spec(
        training={"compile": True, "micro_batch_size": 4},
        evaluation={"every": 2, "tokens": 30 * 32},  # 30 sequences: the last batch is not whole
    )
    train(spec, tmp_path, Recorder(), lambda: False, cache=cache)
    phase = [Graph(False, 4, True), Graph(True, 4, True)]  # fields of the graph
    switched = [Graph(True, 4, True), Graph(False, 4, True)]
    assert graphs == [*phase, *switched]


@pytest.mark.parametrize(
    ("peaks", "tried"), [({16: 50}, [16]), ({16: 200, 8: 150, 4: 90}, [16, 8, 4])]
)
def test_the_graph_of_the_size_that_was_found_is_the_one_that_trains(
    peaks: dict[int, int],
    tried: list[int],
    graphs: list[Graph],
    make_stepper: MakeStepper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = listed(100, peaks, monkeypatch)
    stepper, state, batch = make_stepper(memory, training={"compile": True})
    monkeypatch.setattr(Stepper, "_start", lambda *_: SEQUENCES)
    stepper.prepare(state, batch)
    for _ in range(2):
        stepper.step(state, batch, 1e-3)
    assert graphs == [Graph(True, size, True) for size in tried]


def test_to_look_at_the_head_compiles_nothing(graphs: list[Graph], make_model: MakeModel) -> None:
    model = make_model()
    model.base_model.compile()  # as in the phase before
    next_token_objective(model, compiled=True)
    assert graphs == []


@pytest.mark.usefixtures("graphs")
def test_a_compiled_model_is_freed_before_another_one_is_loaded(
    make_stepper: MakeStepper,
) -> None:
    """A compiled module refers to itself, and on a GPU nothing else collects garbage."""
    memory = ListedMemory(100, {})
    stepper, state, batch = make_stepper(memory, training={"compile": True, "micro_batch_size": 4})
    stepper.prepare(state, batch)
    stepper.step(state, batch, 1e-3)
    weight = weakref.ref(next(state.model.parameters()))
    gc.collect()
    gc.disable()
    try:
        del state
        assert weight() is not None
        stepper.release()
        assert weight() is None
    finally:
        gc.enable()
