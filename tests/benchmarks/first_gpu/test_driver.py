import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.first_gpu.driver import Driver
from benchmarks.first_gpu.parts import STAGES, Part
from tests.fixtures.process_state import has_ended

pytestmark = [pytest.mark.slow, pytest.mark.integration]
MADE_UP = "tests.benchmarks.first_gpu.made_up"
ORIGIN = {"card": None, "commit": "abc"}
MakeDriver = Callable[..., Driver]


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def make_driver(tmp_path: Path, told: list[str]) -> MakeDriver:
    def make(seconds: float = 120.0) -> Driver:
        return Driver(
            device="cpu",
            scratch=tmp_path,
            file=tmp_path / "first-gpu.json",
            origin=ORIGIN,
            deadline=time.monotonic() + seconds,
            tell=told.append,
        )

    return make


def part(name: str, limit: float = 60.0, **more: Any) -> Part:
    return Part(name, f"{MADE_UP}:{name}", limit, **more)


def written(tmp_path: Path) -> dict[str, dict[str, Any]]:
    document = json.loads((tmp_path / "first-gpu.json").read_text())
    assert document["measured_on"] == ORIGIN
    return {each["part"]: each for each in document["parts"]}


def test_a_part_that_fails_or_hangs_stops_none_after_it(
    make_driver: MakeDriver, tmp_path: Path, told: list[str]
) -> None:
    stages = [[part("fails")], [part("hangs", 4.0)], [part("dies")], [part("fine")]]
    outcomes = make_driver().run(stages)
    assert [(each.part, each.status) for each in outcomes] == [
        ("fails", "failed"),
        ("hangs", "timed_out"),
        ("dies", "failed"),
        ("fine", "passed"),
    ]
    found = written(tmp_path)
    assert found["fails"]["reason"].endswith("PartFailed: two losses differ")
    assert found["fails"]["results"] == {"first": 1}
    assert "Traceback" in found["fails"]["log"]
    assert found["hangs"]["reason"] == "took longer than 4 s"
    assert found["dies"]["reason"] == "ended with exit code 3"
    assert found["fine"]["results"] == {"device": "cpu", "speed": 3.5}
    assert all(each["measured_on"] == ORIGIN for each in found.values())
    assert told[-1].startswith("== fine: passed after")


def test_what_a_late_part_had_is_kept_and_what_it_started_is_ended(
    make_driver: MakeDriver, tmp_path: Path
) -> None:
    make_driver().run([[part("hangs", 4.0)]])
    child = written(tmp_path)["hangs"]["results"]["child"]
    give_up = time.monotonic() + 10
    while not has_ended(child) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert has_ended(child)


def test_without_a_gpu_or_a_package_a_part_is_not_run_and_says_why(
    make_driver: MakeDriver, tmp_path: Path
) -> None:
    make_driver().run([[part("fine", needs=("gpu",))], [part("dies", needs=("no_such_package",))]])
    found = written(tmp_path)
    assert {name: (each["status"], each["reason"]) for name, each in found.items()} == {
        "fine": ("not_run", "needs a GPU"),
        "dies": ("not_run", "needs no_such_package"),
    }


def test_at_the_deadline_all_ends_and_what_is_left_is_not_run(make_driver: MakeDriver) -> None:
    started = time.monotonic()
    outcomes = make_driver(12.0).run([[part("hangs", 100.0)], [part("fine")]])
    assert [(each.status, each.reason) for each in outcomes] == [
        ("timed_out", "took longer than 12 s"),
        ("not_run", "no time was left"),
    ]
    assert time.monotonic() - started < 16


def test_the_parts_of_a_stage_run_at_the_same_time(make_driver: MakeDriver) -> None:
    one = replace(part("meets", arguments=("a", "b")), name="one")
    other = replace(part("meets", arguments=("b", "a")), name="other")
    outcomes = make_driver().run([[one, other]])
    assert [each.status for each in outcomes] == ["passed", "passed"]


def test_what_proves_the_most_ends_within_five_minutes() -> None:
    first = STAGES[:3]
    assert [[each.name for each in stage] for stage in first] == [
        ["environment"],
        ["gpu_tests"],
        ["llama_350m"],
    ]
    assert sum(max(each.limit_seconds for each in stage) for stage in first) <= 300


def test_what_measures_speed_runs_alone() -> None:
    for stage in STAGES:
        names = {each.name for each in stage}
        assert len(stage) == 1 or not names & {"llama_350m", "llama_1b", "automatic", "gpu_tests"}
