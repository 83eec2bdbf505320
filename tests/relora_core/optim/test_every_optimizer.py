"""What an optimizer gets by its place in the union: all the rest finds it by its name."""

import pytest
import torch
from torch import Tensor, nn

from relora_core.lowrank.adam_state import AdamState
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import OPTIMIZERS, TrainSpec
from tests.relora_core.conftest import ROOT, MakeSpec

each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


@each_optimizer
def test_its_moments_take_the_memory_that_the_estimate_counts(name: str) -> None:
    layer = nn.Linear(256, 256, bias=False)
    optimizer = build_optimizer(layer, OPTIMIZERS[name](name=name))
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    state = optimizer.state[layer.weight].values()
    moments = [value for value in state if isinstance(value, Tensor) and value.ndim == 2]
    assert [m.nbytes for m in moments] == 2 * [OPTIMIZERS[name].moment_bytes * 256**2]


@each_optimizer
def test_a_restart_can_read_its_state(name: str) -> None:
    layer = nn.Linear(256, 256, bias=False)
    optimizer = build_optimizer(layer, OPTIMIZERS[name](name=name, betas=(0.5, 0.75)))
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    state = AdamState(optimizer.state[layer.weight])
    assert state.step == 1
    torch.testing.assert_close(state.first.values(), torch.full((256, 256), 0.5))
    torch.testing.assert_close(state.second.values(), torch.full((256, 256), 0.25))


@each_optimizer
def test_a_spec_chooses_it_by_its_name(name: str, make_spec: MakeSpec) -> None:
    spec = make_spec(optimizer={"name": name, "betas": [0.8, 0.9]})
    assert type(spec.optimizer) is OPTIMIZERS[name]
    assert TrainSpec.model_validate_json(spec.model_dump_json()) == spec


def test_without_a_name_it_is_adamw(make_spec: MakeSpec) -> None:
    assert make_spec(optimizer={"eps": 0.5}) == make_spec(optimizer={"name": "adamw", "eps": 0.5})


@each_optimizer
def test_the_page_of_the_spec_tells_its_name(name: str) -> None:
    assert f"| `name` | `{name}` | `{name}` |" in (ROOT / "docs/spec.md").read_text()


def test_no_two_optimizers_have_one_title() -> None:
    titles = [optimizer.title for optimizer in OPTIMIZERS.values()]
    assert len(set(titles)) == len(titles)
