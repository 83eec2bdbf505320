import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.lab.experiments import Run
from benchmarks.lab.records import Records, others_in_words
from tests.benchmarks.lab.made_up import EXPERIMENT, TEXT, record

RUN = Run("full", "seeds", 0.5, None, 1)


def test_a_result_is_found_again(tmp_path: Path) -> None:
    stored = record(RUN, 3.0)
    Records(EXPERIMENT, tmp_path).write(stored)
    assert Records(EXPERIMENT, tmp_path).read(TEXT) == {RUN: stored}
    assert [file.name for file in tmp_path.rglob("*.json")] == ["full-seeds-0.5-1.json"]


def test_a_result_of_another_spec_or_of_an_arm_that_is_gone_does_not_count(tmp_path: Path) -> None:
    Records(EXPERIMENT, tmp_path).write(record(RUN, 3.0))
    longer = replace(EXPERIMENT, steps=2 * EXPERIMENT.steps)
    without = replace(EXPERIMENT, arms=EXPERIMENT.arms[1:])
    assert Records(longer, tmp_path).read(TEXT) == {}
    assert Records(without, tmp_path).read(TEXT) == {}


def test_a_run_that_another_experiment_stored_is_not_run_again(tmp_path: Path) -> None:
    stored = record(RUN, 3.0)
    Records(EXPERIMENT, tmp_path).write(stored)
    other = replace(EXPERIMENT, name="other", arms=EXPERIMENT.arms[:1], hypotheses=())
    assert Records(other, tmp_path).read(TEXT) == {RUN: stored}


def test_a_run_that_diverged_has_an_infinite_loss() -> None:
    assert record(RUN, None).loss == math.inf


def test_bits_per_byte_are_those_of_the_held_out_text() -> None:
    # 500 tokens of 3 nats each, in a text of 1,000 bytes
    assert record(RUN, 3.0).bits_per_byte == pytest.approx(500 * 3.0 / math.log(2) / 1000)


def test_the_results_of_different_texts_are_kept_apart_and_told(tmp_path: Path) -> None:
    other_run = Run("full", "seeds", 0.5, None, 2)
    ours, theirs = record(RUN, 3.0), record(RUN, 9.0, text="0" * 64)
    for stored in (theirs, ours, record(other_run, 3.1)):
        Records(EXPERIMENT, tmp_path).write(stored)
    by_text = Records(EXPERIMENT, tmp_path).by_text()
    assert list(by_text) == [TEXT, "0" * 64]  # the one with more results first
    assert (by_text[TEXT][RUN], by_text["0" * 64]) == (ours, {RUN: theirs})
    [told] = others_in_words(by_text, TEXT)
    assert told == "Kept apart: 1 result of another text, `000000000000`."
