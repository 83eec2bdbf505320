"""What a method gets by its place in the union: all the rest finds it by its name."""

import pytest
from transformers import AutoModelForCausalLM

from relora_core.estimate.phases import planned_phases
from relora_core.estimate.shape_of import shape_of
from relora_core.events import PhaseStarted
from relora_core.methods import build_method
from relora_core.models.build import make_config
from relora_core.optim.timeline import Timeline
from relora_core.spec import METHODS
from relora_core.state import TrainState
from tests.relora_core.conftest import ROOT, MakeSpec

each_method = pytest.mark.parametrize("name", METHODS)


@each_method
def test_its_name_alone_trains_what_the_estimate_counts_in_each_phase(
    name: str, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"name": name, "rank": 4})
    method = build_method(spec, Timeline.of(spec))
    config = method.config(make_config(spec, {"vocab_size": 300}), AutoModelForCausalLM)
    model = AutoModelForCausalLM.from_config(config)
    method.shape(model, None)
    state = TrainState(model, method.optimizer(model, spec.optimizer))
    for planned in planned_phases(spec, shape_of(spec)):
        [event] = method.before_step(state)
        assert isinstance(event, PhaseStarted)
        assert event.phase == planned.phase
        assert event.trainable_parameters == planned.plan.trained
        state.counters.step += planned.steps


@each_method
def test_the_page_of_methods_tells_its_phases_and_whether_it_restarts(name: str) -> None:
    page = (ROOT / "docs/method.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    *_, phases, restarts = [cell.strip() for cell in row.strip("|").split("|")]
    planned = METHODS[name]().phases(20_000)
    assert f"`{planned.first}`" in phases
    assert ("`low_rank`" in phases) == (planned.at(19_999) == "low_rank")
    assert (restarts != "none") == (planned.reset_every is not None)


def test_no_two_methods_have_one_title() -> None:
    titles = [method.title for method in METHODS.values()]
    assert len(set(titles)) == len(titles)
