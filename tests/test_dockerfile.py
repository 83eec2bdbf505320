"""The Dockerfile, as far as it can be checked without an engine that builds it."""

import importlib.util
import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SUPPORTED = SpecifierSet(PYPROJECT["project"]["requires-python"])


@dataclass(frozen=True)
class Instruction:
    stage: str
    name: str
    value: str


def read_dockerfile() -> list[Instruction]:
    lines = [
        line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")
    ]
    stage, instructions = "", []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        name, value = line.split(maxsplit=1)
        if name == "FROM":
            stage = value.split()[-1]
        instructions.append(Instruction(stage, name, value))
    return instructions


INSTRUCTIONS = read_dockerfile()


def values(name: str, stage: str) -> list[str]:
    return [i.value for i in INSTRUCTIONS if (i.name, i.stage) == (name, stage)]


def test_there_is_a_target_for_each_image() -> None:
    stages = [i.stage for i in INSTRUCTIONS if i.name == "FROM"]
    assert stages == ["base", "wheel", "server", "worker"]


def test_a_stage_builds_on_a_supported_python_or_on_a_stage_before_it() -> None:
    known: set[str] = set()
    for instruction in INSTRUCTIONS:
        if instruction.name == "FROM":
            source, _, stage = instruction.value.split()
            python = re.fullmatch(r"python:([\d.]+)-slim", source)
            assert source in known or (python and python[1] in SUPPORTED)
            known.add(stage)
        for mounted in re.findall(r"--mount=type=bind,from=(\w+)", instruction.value):
            assert mounted in known


def test_what_is_copied_exists() -> None:
    for instruction in INSTRUCTIONS:
        if instruction.name == "COPY":
            for source in instruction.value.split()[:-1]:
                assert (ROOT / source).exists()


def test_the_context_holds_what_the_wheel_is_built_from_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    packages = {
        pattern.rstrip("*")
        for pattern in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == packages | {
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
    }


@pytest.mark.parametrize("target", ["server", "worker"])
def test_an_image_installs_its_extra_in_the_versions_that_were_tested(target: str) -> None:
    installs = [shlex.split(value) for value in values("RUN", target) if "pip install" in value]
    *options, package = installs[0][-4:]
    assert options == ["install", "--constraint", "constraints.txt"]
    extras = package.removeprefix(".[").removesuffix("]").split(",")
    assert extras[0] == target
    assert set(extras) <= PYPROJECT["project"]["optional-dependencies"].keys()


@pytest.mark.parametrize("target", ["server", "worker"])
def test_an_image_runs_a_program_of_the_project_and_not_as_root(target: str) -> None:
    (command,) = map(json.loads, values("CMD", target))
    module = command[command.index("-m" if command[0] == "python" else "--app") + 1]
    assert importlib.util.find_spec(module) is not None
    assert values("USER", target) == ["10001:10001"]
    (entrypoint,) = map(json.loads, values("ENTRYPOINT", target))
    assert (
        entrypoint == {"server": ["tini", "--"], "worker": ["python", "-m", "worker.init"]}[target]
    )


@pytest.mark.parametrize("target", ["server", "worker"])
def test_an_image_looks_for_no_file_and_no_module_among_its_data(target: str) -> None:
    (folder,) = values("WORKDIR", target)
    data = shlex.split(" ".join(values("ENV", "base")))
    assert "RELORA_DATA_DIR=/var/lib/relora" in data
    assert not folder.startswith("/var/lib/relora")
    assert [i for i in INSTRUCTIONS if i.name == "COPY" and i.stage == target] == []
    assert "PYTHONSAFEPATH=1" in data
