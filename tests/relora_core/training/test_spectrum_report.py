import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # its stubs leave it out

from relora_core.events import AnyTrainEvent, SpectrumMeasured, StepFinished, Warned
from relora_core.lowrank.spectrum import SpectrumFile, mean_condition
from relora_core.spec import TrainSpec
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder

RANK = 3
WARM, EVERY, STEPS = 6, 6, 24  # restarts at 12 and 18: three cycles
SMALLER_SIDE = 32
LAYERS = 14


@dataclass(frozen=True)
class Run:
    workdir: Path
    events: list[AnyTrainEvent]


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, which takes a second; the run `relora` has its pictures."""
    monkeypatch.setattr("relora_core.training.spectrum_report.picture", lambda _: b"no picture")


@pytest.fixture(scope="module")
def relora(spec_of: MakeSpec, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of ReLoRA that the others are compared with."""
    workdir = tmp_path_factory.mktemp("relora")
    return Run(workdir, run(spec_of("relora"), workdir, cache))


@pytest.fixture(scope="module")
def spec_of(make_spec: MakeSpec) -> MakeSpec:
    """The same run by another method, with rates high enough for the updates to be seen."""

    def make(method: str, **spectrum: Any) -> TrainSpec:
        return make_spec(
            method={"name": method, "rank": RANK, "warm_start_steps": WARM, "reset_every": EVERY},
            training={"steps": STEPS},
            optimizer={"learning_rate": 1e-2},
            schedule={"restart_warmup_steps": 1},
            spectrum={"enabled": "auto", **spectrum},
        )

    return make


def run(
    spec: TrainSpec, workdir: Path, cache: Path, *, stop_after: int | None = None
) -> list[AnyTrainEvent]:
    recorder = Recorder()

    def stop_requested() -> bool:
        steps = recorder.of(StepFinished)
        return stop_after is not None and bool(steps) and steps[-1].step >= stop_after

    train(spec, workdir, recorder, stop_requested, cache=cache)
    return recorder.events


def report(workdir: Path) -> SpectrumFile:
    return SpectrumFile.model_validate_json((workdir / "reports" / "spectrum.json").read_bytes())


def ranks(workdir: Path) -> list[list[int]]:
    """The numerical rank of each layer, at each measurement."""
    return [[x.numerical_rank for x in s.layers.values()] for s in report(workdir).spectra]


def assert_each_cycle_adds_a_rank_r(workdir: Path) -> None:
    spectra = report(workdir).spectra
    assert [(s.step, s.restart) for s in spectra] == [(12, 1), (18, 2), (24, 2)]
    for cycles, measured in enumerate(ranks(workdir), start=1):
        assert len(measured) == LAYERS
        assert max(measured) <= cycles * RANK
        assert min(measured) > (cycles - 1) * RANK
        assert sum(measured) >= LAYERS * (cycles * RANK - 0.5)
    for before, after in itertools.pairwise(spectra):
        assert after.mean("effective_rank") > before.mean("effective_rank")


def test_the_update_of_relora_gains_a_rank_r_with_each_restart(relora: Run) -> None:
    assert_each_cycle_adds_a_rank_r(relora.workdir)


@pytest.mark.usefixtures("no_picture")
def test_the_update_of_relora_gains_a_rank_r_with_each_restart_in_bf16(
    spec_of: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    spec = spec_of("relora")
    method = spec.method.model_copy(update={"frozen_dtype": "bf16"})
    run(spec.model_copy(update={"method": method}), tmp_path, cache)
    assert_each_cycle_adds_a_rank_r(tmp_path)


@pytest.mark.usefixtures("no_picture")
def test_the_update_of_lora_keeps_its_rank(spec_of: MakeSpec, tmp_path: Path, cache: Path) -> None:
    run(spec_of("lora", every=6), tmp_path, cache)
    file = report(tmp_path)
    assert (file.method, file.rank, file.since_step) == ("lora", RANK, WARM)
    assert [(s.step, s.restart) for s in file.spectra] == [(12, 0), (18, 0), (24, 0)]
    assert ranks(tmp_path) == [[RANK] * LAYERS] * 3


def test_the_update_of_full_rank_training_is_full(
    spec_of: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    run(spec_of("full", since_step=WARM), tmp_path, cache)
    file = report(tmp_path)
    assert (file.method, file.rank, file.since_step) == ("full", None, WARM)
    assert [s.step for s in file.spectra] == [STEPS]
    assert ranks(tmp_path) == [[SMALLER_SIDE] * LAYERS]


@pytest.mark.usefixtures("no_picture")
def test_methods_agree_up_to_where_they_part(
    relora: Run, spec_of: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    run(spec_of("lora"), tmp_path, cache)
    first, *_, last = report(relora.workdir).spectra
    of_lora = report(tmp_path).spectra
    assert first.layers.keys() == of_lora[0].layers.keys()
    assert last.mean("effective_rank") > 1.5 * of_lora[-1].mean("effective_rank")


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 6, 9, 12, 20])
@pytest.mark.usefixtures("no_picture")
def test_a_resumed_run_reports_the_same_to_the_bit(
    stop_after: int, relora: Run, spec_of: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    spec = spec_of("relora")
    run(spec, tmp_path / "first", cache, stop_after=stop_after)
    [newest] = (tmp_path / "first" / "checkpoints").glob(f"step-{stop_after:08d}")
    elsewhere = tmp_path / "second" / "checkpoints"  # as on another machine: this alone is there
    elsewhere.mkdir(parents=True)
    newest.rename(elsewhere / newest.name)
    run(spec, tmp_path / "second", cache)
    assert report(tmp_path / "second") == report(relora.workdir)


def test_the_spectrum_leaves_the_weights_as_they_would_be(
    relora: Run, spec_of: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    run(spec_of("relora", enabled=False), tmp_path, cache)
    assert not (tmp_path / "reports" / "spectrum.json").exists()
    alone, measured = (
        (workdir / "final" / "model.safetensors").read_bytes()
        for workdir in (tmp_path, relora.workdir)
    )
    assert alone == measured


def test_each_measurement_is_an_event_with_its_means_beside_the_file_and_the_picture(
    relora: Run,
) -> None:
    told = [event for event in relora.events if isinstance(event, SpectrumMeasured)]
    for event, spectrum in zip(told, report(relora.workdir).spectra, strict=True):
        assert (event.step, event.restart, event.layers) == (spectrum.step, spectrum.restart, 14)
        assert event.numerical_rank == spectrum.mean("numerical_rank")
        assert event.stable_rank == spectrum.mean("stable_rank")
        assert event.condition_number == mean_condition(spectrum.layers.values())
        assert event.weight_condition_number == mean_condition(spectrum.weights.values())
        assert event.weight_effective_rank is not None
        assert event.weight_effective_rank > SMALLER_SIDE / 2  # W has full rank, its update has not
        assert (relora.workdir / event.path).is_file()
        assert event.seconds > 0
    names = {file.name for file in (relora.workdir / "reports").iterdir()}
    assert names == {
        "memory.json",
        "restarts.json",
        "spectrum.json",
        "spectrum.png",
    }  # and nothing half written
    assert (relora.workdir / "reports" / "spectrum.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_is_drawn_only_at_the_end_of_the_run(
    spec_of: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    run(spec_of("relora"), tmp_path, cache, stop_after=WARM + EVERY + 1)
    assert [spectrum.step for spectrum in report(tmp_path).spectra] == [WARM + EVERY]
    assert {file.name for file in (tmp_path / "reports").iterdir()} == {
        "memory.json",
        "spectrum.json",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("no_picture")
def test_auto_leaves_large_models_out(
    spec_of: MakeSpec, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relora_core.spec.training.MAX_WEIGHTS", 20_479)  # one below the model
    run(spec_of("relora"), tmp_path / "auto", cache)
    assert not (tmp_path / "auto" / "reports" / "spectrum.json").exists()
    assert not list((tmp_path / "auto" / "checkpoints").rglob("reference-*"))
    run(spec_of("relora", enabled=True), tmp_path / "true", cache)
    assert (tmp_path / "true" / "reports" / "spectrum.json").exists()


def test_turned_on_after_the_reference_was_due_it_says_why_there_is_none(
    spec_of: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    run(spec_of("relora", enabled=False), tmp_path, cache, stop_after=9)
    events = run(spec_of("relora"), tmp_path, cache)
    warned = [event for event in events if isinstance(event, Warned)]
    assert [(event.code, event.step) for event in warned] == [
        ("no_spectrum", step) for step in (12, 18, 24)
    ]
    assert "does not hold the weights that it is counted from" in warned[0].message


def test_a_failed_decomposition_costs_the_report_and_not_the_run(
    spec_of: MakeSpec, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> torch.Tensor:
        raise LinAlgError("did not converge")

    monkeypatch.setattr("torch.linalg.svdvals", fail)
    events = run(spec_of("relora"), tmp_path, cache)
    assert [event.code for event in events if isinstance(event, Warned)] == ["no_spectrum"] * 3
    assert (tmp_path / "final" / "model.safetensors").exists()
