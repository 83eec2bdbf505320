"""The whole program, in the smallest form that a CPU allows."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.first_gpu.__main__ import OFFLINE, main
from benchmarks.first_gpu.parts import STAGES
from tests.benchmarks.first_gpu.forked_parts import ForkedPart

# A minute on an idle machine with two cores.
pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(1500)]
ROOT = Path(__file__).parents[3]
NEEDS_A_GPU = {"gpu_tests"}
OPTIONS = ["--commit", "given", "--minutes", "24", "--slower", "8"]


def read(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "first-gpu.json").read_text())
    return {part["part"]: part for part in document["parts"]}


def test_a_part_begins_in_an_interpreter_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.first_gpu", "--out", str(tmp_path), *OPTIONS]
    result = subprocess.run(
        [*command, "--part", "environment"], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-3000:]
    assert {name: part["status"] for name, part in read(tmp_path).items()} == {
        "environment": "passed"
    }


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All parts, in processes that are forked."""
    folder = tmp_path_factory.mktemp("first-gpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.first_gpu.driver.start", ForkedPart)
        for name, value in OFFLINE.items():
            patch.setenv(name, value)  # and unset it afterwards
        code = main(["--out", str(folder), *OPTIONS])
    found = read(folder)
    assert code == 0, [part for part in found.values() if part["status"] == "failed"]
    return found


def test_on_a_cpu_each_part_passes_or_says_that_it_needs_a_gpu(parts: dict[str, Any]) -> None:
    assert {*parts} == {part.name for stage in STAGES for part in stage}
    assert {name for name, part in parts.items() if part["status"] == "passed"} == (
        {*parts} - NEEDS_A_GPU
    )
    for name in NEEDS_A_GPU:
        assert (parts[name]["status"], parts[name]["reason"]) == ("not_run", "needs a GPU")


def test_every_number_names_card_versions_and_commit(parts: dict[str, Any]) -> None:
    for part in parts.values():
        origin = part["measured_on"]
        assert origin["card"] is None
        assert origin["commit"] == "given"
        assert origin["packages"]["torch"].startswith("2.")


def test_the_speeds_are_those_of_contenders_in_turns(parts: dict[str, Any]) -> None:
    (pair,) = parts["llama_350m"]["results"].values()
    assert pair["contenders"]["full"]["tokens_per_second"][0] > 0
    assert pair["relora / full, tokens/s"] > 0
    (four,) = parts["llama_1b"]["results"].values()
    assert set(four["contenders"]) == {"relora", "full", "relora_fp8", "relora_int8"}


def test_on_a_cpu_two_runs_and_a_resumed_one_end_with_the_same_bits(parts: dict[str, Any]) -> None:
    for facts in parts["repeats"]["results"].values():
        equal = {name: value for name, value in facts.items() if name.startswith(("two", "a_"))}
        assert set(equal.values()) == {True}, facts
        assert facts["resumed_steps"] > 5


def test_both_layouts_were_trained_through_a_restart(parts: dict[str, Any]) -> None:
    for dtype in ("bf16", "int8", "fp8"):
        losses = parts["one_rank"]["results"][dtype]
        assert len(losses["fsdp"]) == len(losses["ddp"]) == 8
