"""What runs do on a GPU, and the same on a CPU, so that its part is tested without one."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn

from relora_core.distributed.dtensor import full_tensor
from relora_core.distributed.world import World, leave_process_group
from relora_core.events import (
    MemoryMeasured,
    Merged,
    ProfileSaved,
    StepFinished,
    TrainFinished,
    TrainStarted,
    Warned,
)
from relora_core.lowrank.inject import inject, low_rank_layers, merged_tensors
from relora_core.lowrank.restart import merge, reinitialize
from relora_core.models.parallelize import Replicated
from relora_core.spec import FrozenDtype, LowRank
from relora_core.tasks import head_loss
from relora_core.tasks.next_token import next_token_objective
from relora_core.tasks.token_loss import sum_of_cross_entropies
from relora_core.training.profile import MEMORY, TRACE
from relora_core.training.train import train
from relora_core.workdir.files import PROFILE
from tests.relora_core.conftest import TINY_LLAMA, MakeModel, MakeSpec, Recorder
from tests.relora_core.forks import Fork
from tests.relora_core.processes import LONGEST_RUN, assert_same_tensors, steps_of
from tests.relora_core.sharding import sharded

WIDE = {**TINY_LLAMA, "hidden_size": 256, "intermediate_size": 688, "vocab_size": 300}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """The device that runs of this test take, in this process and in others."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    chosen = torch.device("cuda", 0) if request.param == "cuda" else torch.device("cpu")
    monkeypatch.setattr("relora_core.distributed.world.device_of_rank", lambda _: chosen)
    if chosen.type == "cpu":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return chosen


class Run:
    """Trains in this process."""

    def __init__(self, folder: Path, cache: Path, make_spec: MakeSpec) -> None:
        self.folder = folder
        self.cache = cache
        self.make_spec = make_spec

    def __call__(
        self,
        name: str = "run",
        *,
        stop: Callable[[Recorder], bool] = lambda _: False,
        **parts: dict[str, Any],
    ) -> Recorder:
        recorder = Recorder()
        spec = self.make_spec(**parts)
        train(spec, self.folder / name, recorder, lambda: stop(recorder), cache=self.cache)
        return recorder


@pytest.fixture
def run(tmp_path: Path, cache: Path, make_spec: MakeSpec) -> Run:
    return Run(tmp_path, cache, make_spec)


def losses(recorder: Recorder) -> list[float]:
    return [event.loss for event in recorder.of(StepFinished)]


@pytest.mark.slow
@pytest.mark.parametrize("frozen_dtype", get_args(FrozenDtype))
def test_each_stored_type_trains_restarts_resumes_and_is_exported(
    frozen_dtype: FrozenDtype, device: torch.device, run: Run
) -> None:
    method, training = {"frozen_dtype": frozen_dtype}, {"precision": "bf16"}
    begun = run(stop=lambda so_far: bool(so_far.of(Merged)), method=method, training=training)
    assert begun.of(TrainStarted)[0].device == device.type
    resumed = run(method=method, training=training)
    assert resumed.of(TrainStarted)[0].step > 0
    numbers = [*losses(begun), *losses(resumed)]
    assert len(numbers) == 12
    assert all(isfinite(number) for number in numbers)
    assert numbers[-1] < numbers[0]
    exported = load_file(run.folder / "run" / "final" / "model.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in exported.values())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit", "muon"])
def test_each_optimizer_learns(optimizer: str, device: torch.device, run: Run) -> None:
    recorder = run(optimizer={"name": optimizer})
    assert recorder.of(TrainStarted)[0].device == device.type
    assert recorder.of(TrainFinished)[0].skipped_steps == 0
    assert losses(recorder)[-1] < losses(recorder)[0]


@pytest.mark.slow
@pytest.mark.usefixtures("device")
def test_galore_learns_in_its_subspaces(run: Run) -> None:
    recorder = run(method={"name": "galore", "update_projection_every": 4})
    assert losses(recorder)[-1] < losses(recorder)[0]


@pytest.mark.slow
def test_the_micro_batch_is_found_and_the_memory_told_beside_the_estimate(
    device: torch.device, run: Run
) -> None:
    recorder = run(training={"micro_batch_size": "auto", "global_batch_size": 8})
    assert not [event for event in recorder.of(Warned) if event.code == "out_of_memory"]
    phases = recorder.of(MemoryMeasured)
    assert [event.phase for event in phases] == ["warm_start", "low_rank"]
    for event in phases:
        assert 8 % event.micro_batch_size == 0
        assert event.peak_bytes > 0
        assert (event.estimated_bytes is not None) is (device.type == "cuda")
    if device.type == "cuda":  # all 8 tiny sequences fit
        assert {event.micro_batch_size for event in phases} == {8}


@pytest.mark.usefixtures("compiler", "device")
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_phase_compiles_one_graph_to_train_and_one_to_evaluate(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[bool] = []
    compile_module = nn.Module.compile

    def backend(graph: torch.fx.GraphModule, _: list[Any]) -> Callable[..., Any]:
        graphs.append(torch.is_grad_enabled())
        return graph.forward

    def recorded(module: nn.Module, *arguments: Any, **keywords: Any) -> None:
        compile_module(module, *arguments, **{**keywords, "backend": backend})

    monkeypatch.setattr(nn.Module, "compile", recorded)
    monkeypatch.setattr(head_loss, "compiled_sum_of_cross_entropies", sum_of_cross_entropies)
    run(
        training={"compile": True, "micro_batch_size": "auto", "precision": "bf16"},
        evaluation={"every": 4, "tokens": 30 * 32},
    )
    assert sorted(graphs) == [False, False, True, True]


@pytest.mark.parametrize("how", ["twice", "resumed"])
@pytest.mark.slow
@pytest.mark.usefixtures("device")
def test_deterministic_runs_end_with_the_same_bits(
    how: str, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(training={"deterministic": True, "precision": "bf16"})
    assert fork(spec, "one").wait(LONGEST_RUN) == 0
    if how == "resumed":
        (tmp_path / "two").mkdir()
        (tmp_path / "two" / "checkpoints").mkdir()
        source = tmp_path / "one" / "checkpoints" / "step-00000005"
        source.rename(tmp_path / "two" / "checkpoints" / "step-00000005")
    assert fork(spec, "two").wait(LONGEST_RUN) == 0
    expected, found = steps_of(tmp_path / "one"), steps_of(tmp_path / "two")
    assert len(found) == (7 if how == "resumed" else 12)
    assert found.items() <= expected.items()
    assert_same_tensors(tmp_path / "one" / "final", tmp_path / "two" / "final")


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["full", "selective"])
def test_recomputed_activations_change_no_loss(kept: str, device: torch.device, run: Run) -> None:
    plain = losses(run("plain"))
    again = losses(run("again", training={"gradient_checkpointing": kept}))
    assert again == pytest.approx(plain, rel=1e-4 if device.type == "cuda" else 1e-6)


def low_rank_model(make_model: MakeModel, device: torch.device, dtype: FrozenDtype) -> Any:
    parallelism = Replicated(World(0, 1, device))
    model = parallelism.apply(make_model(**WIDE))
    model = parallelism.rebuild_with(
        model, lambda each: inject(each, LowRank(rank=4, frozen_dtype=dtype))
    )
    reinitialize(model, step=0, restart=0, seed=0)
    return model


@pytest.mark.parametrize("frozen_dtype", ["bf16", "int8"])
def test_residuals_are_off_the_device_after_the_switch_a_merge_and_a_load(
    frozen_dtype: FrozenDtype, device: torch.device, make_model: MakeModel
) -> None:
    model = low_rank_model(make_model, device, frozen_dtype)

    def assert_off_the_device() -> None:
        for _, layer in low_rank_layers(model):
            residual = layer.frozen.residual
            assert residual is not None
            assert residual.device.type == "cpu"
            assert residual.is_pinned() is (device.type == "cuda")

    assert_off_the_device()
    merge(model, step=1, restart=1)
    assert_off_the_device()
    for _, layer in low_rank_layers(model):
        assert layer.frozen.residual is not None
        layer.frozen.residual = layer.frozen.residual.clone()  # as a checkpoint has it
    assert_off_the_device()


def test_an_export_merges_one_layer_at_a_time(device: torch.device, make_model: MakeModel) -> None:
    model = low_rank_model(make_model, device, "int8")
    sizes = [layer.frozen.d_out * layer.frozen.d_in for _, layer in low_rank_layers(model)]
    before = peak = allocated(device)
    for name, tensor in merged_tensors(model):
        assert tensor.device.type == device.type, name
        peak = max(peak, allocated(device))
    # W, the update and their sum, of the largest layer in fp32
    assert peak - before <= 4 * 4 * max(sizes) < 4 * sum(sizes)


def allocated(device: torch.device) -> int:
    """Return the bytes of all tensors on a GPU. Those of a CPU are not counted."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


@pytest.mark.slow
def test_a_report_tells_the_pace_the_memory_and_what_sensors_read(
    device: torch.device, run: Run
) -> None:
    steps = run(training={"log_every": 4}).of(StepFinished)
    for step in steps:
        assert step.step_seconds is not None
        assert step.step_seconds > 0
        assert step.memory_peak_bytes is not None
        assert step.memory_peak_bytes >= (step.memory_allocated_bytes or 0) > 0
    if device.type == "cuda":
        has_sensors = find_spec("pynvml") is not None
        assert all((step.gpu_power_watts is not None) is has_sensors for step in steps)
    else:
        assert {(step.mfu, step.gpu_utilization) for step in steps} == {(None, None)}


@pytest.mark.slow
def test_a_profile_has_a_trace_and_of_a_gpu_the_allocations(device: torch.device, run: Run) -> None:
    asked = False

    def stop(so_far: Recorder) -> bool:
        nonlocal asked
        if not asked and len(so_far.of(StepFinished)) == 6:
            (run.folder / "run" / PROFILE).write_text("2")
            asked = True
        return False

    (profile,) = run(stop=stop).of(ProfileSaved)
    folder = run.folder / "run" / profile.path
    assert (folder / TRACE).is_file()
    assert (folder / MEMORY).is_file() is (device.type == "cuda")


@pytest.fixture
def group(device: torch.device, tmp_path: Path) -> Iterator[World]:
    """A process group of one, over NCCL or gloo."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=f"file://{tmp_path}/rendezvous",
        rank=0,
        world_size=1,
    )
    yield World(0, 1, device)
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("frozen_dtype", ["bf16", "int8", "fp8"])
def test_a_sharded_model_computes_and_merges_as_one_in_one_piece(
    frozen_dtype: FrozenDtype, group: World, make_model: MakeModel
) -> None:
    found = []
    for parallelism in (
        Replicated(group),
        sharded(group, make_model, WIDE, autocast=True),
    ):
        model = parallelism.apply(make_model(**WIDE))
        low_rank = partial(inject, method=LowRank(rank=4, frozen_dtype=frozen_dtype))
        model = parallelism.rebuild_with(model, low_rank)
        reinitialize(model, step=0, restart=0, seed=0)
        objective = next_token_objective(model, compiled=False)
        optimizer = torch.optim.AdamW(
            [p for p in model.parameters() if p.requires_grad], fused=True
        )
        tokens = torch.arange(65, device=group.device).view(1, 65)
        losses = []
        for step in range(4):
            if step == 2:
                merge(model, step=step, restart=1)
                reinitialize(model, step=step, restart=1, seed=0)
            with torch.autocast(group.device.type, torch.bfloat16):
                loss = objective(tokens[:, :-1], tokens[:, 1:])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0]
        found.append([*losses, float(full_tensor(model.model.norm.weight.detach()).sum())])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_gradients_of_replicas_are_parts_of_the_buckets(
    group: World, make_model: MakeModel
) -> None:
    model = Replicated(group).apply(make_model(**WIDE))
    two = World(0, 2, group.device)  # it says that it is of two, so that it wraps the model
    before = allocated(group.device)
    replica = two.replicate(model)
    numbers = sum(p.numel() for p in model.parameters())
    replica(torch.arange(16, device=group.device)[None]).logits.sum().backward()
    gradients = [p.grad for p in model.parameters()]
    assert all(gradient is not None for gradient in gradients)
    if group.device.type == "cuda":
        del gradients
        assert allocated(group.device) - before < 1.5 * 4 * numbers  # not twice
    leave_process_group()
