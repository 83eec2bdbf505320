"""Two gloo processes train like one, each with the whole model or with half of its rows."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from relora_core.events import (
    AnyTrainEvent,
    Evaluated,
    Merged,
    RestartDecided,
    RestartReported,
    SpectrumMeasured,
    TrainFinished,
    TrainStarted,
)
from relora_core.spec import SpectrumSpec, TrainSpec
from tests.relora_core.conftest import MakeSpec, T
from tests.relora_core.forks import Fork, forking
from tests.relora_core.processes import (
    LONGEST_RUN,
    assert_same_bits,
    events_in,
    steps_of,
    tensors_in,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# Micro-batches, an evaluation whose batches do not divide over two ranks, two restarts.
SPEC: dict[str, Any] = {
    "training": {"steps": 15, "micro_batch_size": 1},
    "evaluation": {"every": 6, "tokens": 5 * 32},
    # as large as rounding is beside gradients: Adam makes whole steps out of smaller ones
    "optimizer": {"eps": 1e-5},
    "checkpoint": {"every": 3, "keep_last": 100},
}


def spec_of(make_spec: MakeSpec, parallelism: str, **method: Any) -> TrainSpec:
    training = {**SPEC["training"], "parallelism": parallelism}
    return make_spec(**{**SPEC, "training": training, "method": method})


def resumed_from(workdir: Path) -> TrainStarted:
    return of(TrainStarted, events_in(workdir))[-1]


def of(kind: type[T], events: list[AnyTrainEvent]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def keep_until(step: int, workdir: Path, copy: Path) -> None:
    """Copy a run as if it had been killed after the checkpoint of this step."""
    shutil.copytree(workdir, copy, ignore=shutil.ignore_patterns("final", "events.jsonl"))
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name.removeprefix("step-")) > step:
            shutil.rmtree(folder)


def assert_close(one: Path, other: Path, *, rel: float, restarts: int = 2) -> None:
    """That two runs report the same."""
    assert steps_of(other) == pytest.approx(steps_of(one), rel=rel)
    first, second = events_in(one), events_in(other)
    assert isinstance(second[-1], TrainFinished)
    for before, after in zip(of(Evaluated, first), of(Evaluated, second), strict=True):
        assert after.scores == pytest.approx(before.scores, rel=rel)
    assert len(of(Merged, first)) == restarts
    for mine, theirs in zip(of(Merged, first), of(Merged, second), strict=True):
        assert theirs.update_norm == pytest.approx(mine.update_norm, rel=10 * rel)
        assert theirs.weight_norm == pytest.approx(mine.weight_norm, rel=rel)
        # what bf16 cannot hold is a hundredth of a number, and moves as much as the number does
        assert theirs.residual_norm == pytest.approx(mine.residual_norm, rel=1e-2)


def assert_close_weights(one: Path, other: Path, *, rel: float) -> None:
    weights, found = tensors_in(one), tensors_in(other)
    assert weights.keys() == found.keys() != set()
    for name, tensor in weights.items():
        difference = torch.linalg.vector_norm(found[name] - tensor)
        assert difference <= rel * torch.linalg.vector_norm(tensor), name


# In bf16 a few numbers of W fall to the other side of a merge's rounding, by 0.4% of their size,
# and Adam makes steps of its usual size out of what follows; in fp8 by 6%, in int8 by a 127th of a
# row's largest, and numbers of x too.
TOLERANCES = {  # of losses, of weights
    "fp32": (1e-5, 1e-4),
    "bf16": (1e-4, 1e-2),
    "int8": (1e-3, 2e-2),
    "fp8": (1e-3, 2e-2),
}


@pytest.fixture(scope="module", params=TOLERANCES)
def one_process(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    cache: Path,
    make_spec: MakeSpec,
) -> tuple[str, Path]:
    """The stored type of W, and the run of one process with it."""
    folder = tmp_path_factory.mktemp("one-process")
    with forking(folder, cache) as fork:
        spec = spec_of(make_spec, "ddp", frozen_dtype=request.param)
        assert fork(spec, "one").wait(LONGEST_RUN) == 0
    return request.param, folder / "one"


@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_two_processes_train_like_one(
    parallelism: str,
    one_process: tuple[str, Path],
    fork: Fork,
    tmp_path: Path,
    make_spec: MakeSpec,
) -> None:
    frozen_dtype, one = one_process
    rel, weights_rel = TOLERANCES[frozen_dtype]
    spec = spec_of(make_spec, parallelism, frozen_dtype=frozen_dtype)
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    assert_close(one, tmp_path / "two", rel=rel)
    assert_close_weights(one / "final", tmp_path / "two" / "final", rel=weights_rel)


@pytest.mark.parametrize("frozen_dtype", ["bf16", "int8"])
def test_two_nodes_share_rows_within_and_train_like_one_process(
    frozen_dtype: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    rel, weights_rel = TOLERANCES[frozen_dtype]
    spec = spec_of(make_spec, "hsdp", frozen_dtype=frozen_dtype)
    assert fork(spec_of(make_spec, "ddp", frozen_dtype=frozen_dtype), "one").wait(LONGEST_RUN) == 0
    assert fork(spec, "four", processes=4, nodes=2).wait(LONGEST_RUN) == 0
    assert_close(tmp_path / "one", tmp_path / "four", rel=rel)
    assert_close_weights(tmp_path / "one" / "final", tmp_path / "four" / "final", rel=weights_rel)
    keep_until(9, tmp_path / "four", tmp_path / "resumed")
    shutil.copy(tmp_path / "four" / "events.jsonl", tmp_path / "resumed")
    assert fork(spec, "resumed", processes=4, nodes=2).wait(LONGEST_RUN) == 0
    assert resumed_from(tmp_path / "resumed").step == 9
    assert_same_bits(tmp_path / "four", tmp_path / "resumed")


@pytest.mark.parametrize(
    ("parallelism", "factor_init"), [("ddp", "gradient"), ("fsdp", "orthogonal")]
)
def test_two_processes_follow_and_rotate_directions_like_one(
    parallelism: str, factor_init: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = spec_of(
        make_spec,
        parallelism,
        frozen_dtype="fp32",
        factor_init=factor_init,
        train_a=False,
        optimizer_reset={"mode": "rotate"},
    )
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    # the ranks compare the hashes of their factors after each restart
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    assert_close(tmp_path / "one", tmp_path / "two", rel=1e-3)


@pytest.mark.parametrize(
    "method",
    [
        {"name": "galore", "update_projection_every": 4},
        {"name": "fira", "update_projection_every": 4},
        {"name": "apollo", "update_projection_every": 4},
        {"warm_start": "galore", "frozen_dtype": "fp32"},
        {"warm_start": "apollo", "frozen_dtype": "fp32"},
    ],
    ids=lambda method: "-".join(method.values() if "warm_start" in method else [method["name"]]),
)
def test_two_processes_train_in_a_subspace_like_one(
    method: dict[str, Any], fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    # one micro-batch a step: the first one of all ranks decides on the subspace of a warm start
    training = {**SPEC["training"], "micro_batch_size": 4}
    spec = make_spec(**{**SPEC, "training": training, "method": method})
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    assert steps_of(tmp_path / "two") == pytest.approx(steps_of(tmp_path / "one"), rel=1e-4)
    assert_close_weights(tmp_path / "one" / "final", tmp_path / "two" / "final", rel=1e-3)


@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_two_processes_start_from_the_weights_of_an_earlier_run_like_one(
    parallelism: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    assert fork(make_spec(method={"name": "full"}), "earlier").wait(LONGEST_RUN) == 0
    warm = {"warm_start_steps": None, "warm_start_from": str(tmp_path / "earlier")}
    spec = spec_of(make_spec, parallelism, frozen_dtype="fp32", **warm)
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    assert_close(tmp_path / "one", tmp_path / "two", rel=1e-4, restarts=3)


def test_two_processes_train_with_muon_like_one(
    fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"frozen_dtype": "fp32"}, optimizer={"name": "muon", "eps": 1e-5})
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    # the iteration of Muon is in bf16, which rounds what differs in the last bit to either side
    assert steps_of(tmp_path / "two") == pytest.approx(steps_of(tmp_path / "one"), rel=1e-3)


@pytest.mark.parametrize(
    ("parallelism", "frozen_dtype"),
    [("ddp", "fp32"), ("fsdp", "bf16"), ("fsdp", "int8"), ("ddp", "fp8")],
)
def test_two_processes_restart_one_component_at_a_time_like_one(
    parallelism: str, frozen_dtype: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    rel, weights_rel = TOLERANCES[frozen_dtype]
    method = {"reset": "rolling", "reset_every": 8, "frozen_dtype": frozen_dtype}
    spec = spec_of(make_spec, parallelism, factor_init="orthogonal", **method)
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    assert_close(tmp_path / "one", tmp_path / "two", rel=rel, restarts=5)
    final = (tmp_path / name / "final" for name in ("one", "two"))
    assert_close_weights(*final, rel=weights_rel)


@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_two_processes_keep_the_same_half_of_the_directions_as_one(
    parallelism: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = spec_of(
        make_spec, parallelism, frozen_dtype="fp32", reset="half", factor_init="orthogonal"
    )
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    # the ranks compare the hashes of their factors after each restart
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    assert_close(tmp_path / "one", tmp_path / "two", rel=1e-3)


@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_two_processes_decide_on_restarts_together(
    parallelism: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    method = {"reset_every": "auto", "shortest_cycle": 2, "longest_cycle": 4}
    spec = spec_of(make_spec, parallelism, frozen_dtype="int8", **method)
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    # the ranks compare their factors after each restart and before each checkpoint
    assert fork(spec, "two", processes=2).wait(LONGEST_RUN) == 0
    one, two = (of(RestartDecided, events_in(tmp_path / name)) for name in ("one", "two"))
    assert len(one) >= 2
    assert [(e.step, e.reason) for e in two] == [(e.step, e.reason) for e in one]
    assert [e.rank for e in two] == pytest.approx([e.rank for e in one], rel=1e-2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(("ddp", 0), ("ddp", 2), id="one to two"),
        pytest.param(("ddp", 2), ("ddp", 0), id="two to one"),
        pytest.param(("ddp", 2), ("fsdp", 2), id="ddp to fsdp"),
        pytest.param(("fsdp", 2), ("ddp", 2), id="fsdp to ddp"),
    ],
)
def test_a_run_goes_on_with_other_processes_or_parallelism(
    before: tuple[str, int],
    after: tuple[str, int],
    fork: Fork,
    tmp_path: Path,
    make_spec: MakeSpec,
) -> None:
    assert fork(spec_of(make_spec, before[0]), "before", processes=before[1]).wait(LONGEST_RUN) == 0
    keep_until(9, tmp_path / "before", tmp_path / "after")
    second = fork(spec_of(make_spec, after[0]), "after", processes=after[1])
    assert second.wait(LONGEST_RUN) == 0
    resumed = resumed_from(tmp_path / "after")
    assert (resumed.step, resumed.world_size) == (9, max(1, after[1]))
    expected = {step: loss for step, loss in steps_of(tmp_path / "before").items() if step > 9}
    assert steps_of(tmp_path / "after") == pytest.approx(expected, rel=1e-4)
    assert_close_weights(tmp_path / "before" / "final", tmp_path / "after" / "final", rel=1e-3)


@pytest.mark.parametrize("step", [3, 9])
def test_a_sharded_run_resumes_to_the_same_bits(
    step: int, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = spec_of(make_spec, "fsdp", optimizer_reset={"mode": "random", "ratio": 0.5})
    assert fork(spec, "whole", processes=2).wait(LONGEST_RUN) == 0
    keep_until(step, tmp_path / "whole", tmp_path / "run")
    shutil.copy(tmp_path / "whole" / "events.jsonl", tmp_path / "run")
    assert fork(spec, "run", processes=2).wait(LONGEST_RUN) == 0
    assert resumed_from(tmp_path / "run").step == step
    assert_same_bits(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize(
    ("parallelism", "processes", "frozen_dtype"),
    [("ddp", 2, "fp32"), ("ddp", 2, "int8"), ("hsdp", 4, "bf16")],
)
def test_a_node_without_the_files_of_the_run_resumes_to_the_same_bits(
    parallelism: str,
    processes: int,
    frozen_dtype: str,
    fork: Fork,
    tmp_path: Path,
    make_spec: MakeSpec,
) -> None:
    spec = spec_of(make_spec, parallelism, frozen_dtype=frozen_dtype)
    nodes = {"processes": processes, "nodes": 2, "apart": True}
    assert fork(spec, "whole", **nodes).wait(LONGEST_RUN) == 0
    keep_until(9, tmp_path / "whole", tmp_path / "run")  # between two restarts
    shutil.copy(tmp_path / "whole" / "events.jsonl", tmp_path / "run")
    assert fork(spec, "run", **nodes).wait(LONGEST_RUN) == 0
    assert resumed_from(tmp_path / "run").step == 9
    assert_same_bits(tmp_path / "whole", tmp_path / "run")
    assert not (tmp_path / "run-1" / "checkpoints").exists()


def test_in_bf16_both_ways_round_alike(fork: Fork, tmp_path: Path, make_spec: MakeSpec) -> None:
    for parallelism in ("ddp", "fsdp"):
        spec = make_spec(training={"parallelism": parallelism, "precision": "bf16"})
        assert fork(spec, parallelism, processes=2).wait(LONGEST_RUN) == 0
    assert steps_of(tmp_path / "fsdp") == pytest.approx(steps_of(tmp_path / "ddp"), rel=1e-3)


@pytest.mark.parametrize(
    ("kept", "precision", "rel"),
    [("full", "fp32", 1e-4), ("full", "bf16", 1e-3), ("selective", "bf16", 1e-3)],
)
def test_recomputed_activations_and_dropout_are_alike_in_both_ways(
    kept: str, precision: str, rel: float, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    for parallelism in ("ddp", "fsdp"):
        training = {
            "parallelism": parallelism,
            "gradient_checkpointing": kept,
            "precision": precision,
        }
        spec = make_spec(training=training, method={"dropout": 0.2, "trainable_scaling": True})
        assert fork(spec, parallelism, processes=2).wait(LONGEST_RUN) == 0
    assert steps_of(tmp_path / "fsdp") == pytest.approx(steps_of(tmp_path / "ddp"), rel=rel)


@pytest.mark.parametrize("parallelism", ["ddp", "fsdp"])
def test_two_processes_report_restarts_and_spectra_like_one(
    parallelism: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    measured = {"spectrum": SpectrumSpec(enabled="auto")}
    one = spec_of(make_spec, "ddp").model_copy(update=measured)
    two = spec_of(make_spec, parallelism).model_copy(update=measured)
    assert fork(one, "one").wait(LONGEST_RUN) == 0
    assert fork(two, "two", processes=2).wait(LONGEST_RUN) == 0
    mine, theirs = (of(RestartReported, events_in(tmp_path / name)) for name in ("one", "two"))
    assert [(report.restart, report.step) for report in mine] == [(1, 12), (2, 15)]
    for expected, found in zip(mine, theirs, strict=True):
        assert found.loss_before == pytest.approx(expected.loss_before, rel=1e-5)
        assert found.loss_after == pytest.approx(expected.loss_after, rel=1e-5)
        assert found.angle == pytest.approx(expected.angle, abs=0.1)
        assert found.overlap == pytest.approx(expected.overlap, rel=0.02)
        assert found.tokens_lost == expected.tokens_lost
        assert found.rank_gained == pytest.approx(expected.rank_gained, abs=0.1)
    before, after = (of(SpectrumMeasured, events_in(tmp_path / name)) for name in ("one", "two"))
    assert [spectrum.step for spectrum in after] == [8, 12, 15]
    for one_s, two_s in zip(before, after, strict=True):
        assert two_s.effective_rank == pytest.approx(one_s.effective_rank, rel=1e-2)
        assert two_s.weight_condition_number == pytest.approx(
            one_s.weight_condition_number, rel=1e-2
        )
