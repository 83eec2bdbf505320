import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.lab.experiments import Run
from benchmarks.lab.records import Records, other_texts
from tests.benchmarks.lab.made_up import EXPERIMENT, record

RUN = Run("full", "seeds", 0.5, None, 1)


def test_a_result_is_found_again(tmp_path: Path) -> None:
    stored = record(RUN, 3.0)
    Records(EXPERIMENT, tmp_path).write(stored)
    assert Records(EXPERIMENT, tmp_path).read() == {RUN: stored}
    assert [file.name for file in tmp_path.rglob("*.json")] == ["full-seeds-0.5-1.json"]


def test_a_result_of_another_spec_or_of_an_arm_that_is_gone_does_not_count(tmp_path: Path) -> None:
    Records(EXPERIMENT, tmp_path).write(record(RUN, 3.0))
    longer = replace(EXPERIMENT, steps=2 * EXPERIMENT.steps)
    without = replace(EXPERIMENT, arms=EXPERIMENT.arms[1:])
    assert Records(longer, tmp_path).read() == {}
    assert Records(without, tmp_path).read() == {}


def test_a_run_that_diverged_has_an_infinite_loss() -> None:
    assert record(RUN, None).loss == math.inf


def test_bits_per_byte_are_those_of_the_held_out_text() -> None:
    # 500 tokens of 3 nats each, in a text of 1,000 bytes
    assert record(RUN, 3.0).bits_per_byte == pytest.approx(500 * 3.0 / math.log(2) / 1000)


def test_another_text_is_told() -> None:
    results = {RUN: record(RUN, 3.0)}
    assert other_texts(results, "f" * 64) == set()
    assert other_texts(results, "0" * 64) == {"f" * 64}
