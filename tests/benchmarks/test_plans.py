import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.figures import medians
from benchmarks.plans import Contest, Plan, cpu_plan, gpu_plan, measure
from benchmarks.results import Results
from benchmarks.whole_run import CYCLES
from benchmarks.workloads import Workload
from relora_core.presets import MODELS
from relora_core.spec import ReloraMethod

GIB = 1 << 30
ISSUED = {
    "relora_over_full",
    "relora_over_peft_trainer",
    "relora_over_peft_compiled",
    "memory_over_full",
    "restart_share",
    "checkpoint_pause",
}
TINY = Workload(
    "tiny",
    {**MODELS["llama_9m"], "num_hidden_layers": 1, "vocab_size": 300},
    sequences=2,
    precision="fp32",
    sequence_length=16,
    rank=4,
    compile=False,
)


def tiny_plan(corpus: Path, *contenders: str) -> Plan:
    tiny = replace(TINY, corpus=corpus)
    contests = [
        Contest("speed", tiny, contenders, rounds=1, steps=1),
        Contest("memory", tiny, ("full", "relora"), rounds=1, steps=1),
    ]
    return Plan(device="cpu", quick=True, contests=contests, pauses=tiny, rounds=1)


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.integration
def test_a_run_gives_every_figure_that_it_measured(small_corpus: Path, tmp_path: Path) -> None:
    saved: list[Results] = []
    plan = tiny_plan(small_corpus, "full", "relora")
    results = measure(plan, cache=tmp_path, progress=print, save=saved.append)
    assert [list(each.comparisons) for each in saved[:2]] == [["speed"], ["speed", "memory"]]
    assert saved[-1] == results
    found = json.loads(json.dumps(medians(results, "cpu")))
    assert found.keys() >= ISSUED
    missing = {name for name in ISSUED if found[name] is None}
    assert missing == {"relora_over_peft_trainer", "relora_over_peft_compiled"}
    assert found["relora_over_full"] > 0
    assert 0 < found["restart_share"] < 1
    assert 0 < found["checkpoint_pause"] < 1
    file = tmp_path / "cpu.json"
    results.write(file)
    assert Results.read(file) == results


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.integration
@pytest.mark.skipif(find_spec("peft") is None, reason='needs the extra "bench": make bench')
def test_peft_takes_its_turns_beside_ours(small_corpus: Path, tmp_path: Path) -> None:
    plan = tiny_plan(small_corpus, "relora", "peft_trainer", "peft_compiled")
    results = measure(
        replace(plan, contests=plan.contests[:1], pauses=None), cache=tmp_path, progress=print
    )
    found = medians(results, "cpu")
    assert found["relora_over_peft_trainer"] is not None
    assert found["relora_over_peft_compiled"] is not None


@pytest.mark.parametrize("quick", [True, False])
def test_the_plans_cover_every_figure_of_their_device(*, quick: bool) -> None:
    contests = {contest.name: contest for contest in cpu_plan(quick=quick).contests}
    assert set(contests["speed"].contenders) >= {
        "full",
        "relora",
        "relora_int8",
        "peft_trainer",
        "peft_compiled",
    }
    assert contests["memory"].contenders == ("full", "relora")
    gpu = gpu_plan(quick=False).contests
    assert [contest.name for contest in gpu] == ["llama_130m", "llama_350m", "llama_1b"]
    assert {contest.contenders for contest in gpu} == {
        ("full", "relora", "relora_int8", "relora_fp8")
    }


@pytest.mark.parametrize("dtype", ["int8", "fp8"])
def test_every_workload_of_the_gpu_may_have_its_frozen_weights_in_8_bits(dtype: str) -> None:
    for contest in gpu_plan(quick=False).contests:
        spec = replace(contest.workload, frozen_dtype=dtype).spec("relora")
        assert isinstance(spec.method, ReloraMethod)
        assert (spec.method.frozen_dtype, spec.training.precision) == (dtype, "bf16")


def test_contenders_prepare_at_the_same_time_where_the_card_holds_them_all() -> None:
    llama_1b = gpu_plan(quick=False).contests[-1]
    peaks = [llama_1b.peak_bytes(name) / GIB for name in llama_1b.contenders]
    assert peaks[0] == max(peaks)  # full rank
    assert sum(peaks) > 80
    assert not llama_1b.fits_together(80 * GIB)
    assert llama_1b.fits_together(141 * GIB)
    assert max(peaks) < 0.5 * 80  # one that trains leaves room for those that rest


def test_one_contest_can_be_asked_for() -> None:
    plan = cpu_plan(quick=False).only("memory")
    assert [contest.name for contest in plan.contests] == ["memory"]
    assert (plan.pauses, plan.packing_copies, plan.scaling) == (None, 0, ())
    with pytest.raises(ValueError, match="'llama_1b'; on this device there are speed, memory"):
        cpu_plan(quick=False).only("llama_1b")


def test_whole_runs_are_left_out_of_a_quick_bench() -> None:
    assert cpu_plan(quick=True).whole_run_steps == 0
    assert (
        cpu_plan(quick=False).whole_run_steps % CYCLES == 0 < cpu_plan(quick=False).whole_run_steps
    )


def test_rounds_can_be_asked_for() -> None:
    assert cpu_plan(quick=True, rounds=2).contests[0].rounds == 2
    assert {contest.rounds for contest in gpu_plan(quick=False, rounds=2).contests} == {2}
