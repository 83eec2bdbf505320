"""Runs without a service: the same results, in this process."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.lab.direct import DirectLaboratory
from benchmarks.lab.experiments import Experiment, Rates
from benchmarks.lab.plan import left, next_runs
from benchmarks.lab.records import Records
from benchmarks.lab.text.build import train_file, validation_file
from tests.benchmarks.lab.made_up import EXPERIMENT, MACHINE
from tests.benchmarks.lab.test_on_service import TEXT

FULL, RELORA = EXPERIMENT.arms
QUICK = replace(
    EXPERIMENT,
    model=replace(EXPERIMENT.model, sequence_length=32, sequences=2),
    steps=6,
    arms=(
        replace(FULL, rates=Rates((0.01,))),
        replace(RELORA, rates=replace(RELORA.rates, values=(1.0,)), cycle=0.5),
    ),
    warmup_steps=1,
    restart_warmup_steps=1,
    evaluations=1,
    growths=0,
    seeds=(1,),
)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    line = json.dumps({"text": "In the beginning was the word. " * 20}) + "\n"
    train_file(folder).write_text(line * 10)
    validation_file(folder).write_text(line)
    return folder


def laboratory(experiment: Experiment, text: Path) -> DirectLaboratory:
    return DirectLaboratory(
        experiment=experiment,
        text=TEXT,
        text_folder=text,
        records=Records(experiment, text.parent / "results"),
        machine=MACHINE,
        cache=text.parent / "cache",
    )


@pytest.mark.slow
def test_each_run_is_trained_here_and_stored_as_the_lab_stores_it(text: Path) -> None:
    told: list[str] = []
    here = laboratory(QUICK, text)
    here.run_all(told.append)

    results = here.records.read(TEXT.sha256)
    assert [run.arm for run in results] == ["full", "relora"]
    assert next_runs(QUICK, results) == []
    relora = next(record for run, record in results.items() if run.arm == "relora")
    assert (relora.restarts, relora.diverged) == (1, False)
    assert relora.peak_memory_bytes
    assert [line.partition(":")[0] for line in told] == ["full-seeds-0.01-1", "relora-seeds-0.01-1"]


@pytest.mark.slow
def test_a_run_that_diverged_is_a_result(text: Path) -> None:
    config = {**QUICK.model.config, "rms_norm_eps": -1e9}  # its root is no number
    model = replace(QUICK.model, config=config)
    wild = replace(QUICK, model=model, steps=30, arms=QUICK.arms[:1], hypotheses=())
    here = laboratory(wild, text)
    here.run_all(print)
    [record] = here.records.read(TEXT.sha256).values()
    assert record.diverged


def test_where_there_is_one_rate_none_is_tried() -> None:
    assert [run.stage for run in next_runs(QUICK, {})] == ["seeds"] * 2
    assert left(QUICK, {}).runs == (2, 2)
