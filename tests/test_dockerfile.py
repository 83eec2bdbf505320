"""The Dockerfile, as far as it can be checked without an engine that builds it."""

import importlib.util
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.fixtures.tiers import program

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OUT = "service/dashboard"
OLDEST_NODE = 20
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
LISTS = sorted(path.stem for path in (ROOT / "requirements").iterdir())


def lines_of(file: Path) -> list[str]:
    text = file.read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def pinned(name: str) -> dict[str, tuple[str, list[str]]]:
    """The packages of a list of requirements, each with `==version` and its hashes."""
    packages: dict[str, tuple[str, list[str]]] = {}
    for line in lines_of(ROOT / f"requirements/{name}.txt"):
        text, *options = line.split()
        requirement = Requirement(text)
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options)
        packages[canonicalize_name(requirement.name)] = (str(requirement.specifier), options)
    return packages


def versions_of(name: str) -> list[tuple[str, str]]:
    return [(package, version) for package, (version, _) in pinned(name).items()]


def needed(extras: Iterable[str]) -> Iterator[Requirement]:
    """What the project and its extras ask for, those among them that extras name."""
    project = PYPROJECT["project"]
    for text in [
        *project["dependencies"],
        *(text for extra in extras for text in project["optional-dependencies"][extra]),
    ]:
        requirement = Requirement(text)
        if requirement.name == project["name"]:
            yield from needed(requirement.extras)
        else:
            yield requirement


def values(name: str, stage: str) -> list[str]:
    return [i.value for i in INSTRUCTIONS if (i.name, i.stage) == (name, stage)]


def test_there_is_a_target_for_each_image() -> None:
    stages = [i.stage for i in INSTRUCTIONS if i.name == "FROM"]
    assert stages == ["base", "dashboard", "wheel", "server", "worker"]


def test_a_stage_builds_on_a_supported_python_or_on_a_stage_before_it() -> None:
    known: set[str] = set()
    images: dict[str, str] = {}
    for instruction in INSTRUCTIONS:
        if instruction.name == "ARG" and not known:
            argument, image = instruction.value.split("=")
            images[f"${{{argument}}}"] = image
        if instruction.name == "FROM":
            source, _, stage = instruction.value.split()
            source = images.get(source, source)
            python = re.fullmatch(r"python:([\d.]+)-slim", source)
            node = re.fullmatch(r"node:(\d+)-slim", source)
            assert (
                source in known
                or (python and python[1] in SUPPORTED)
                or (node and int(node[1]) >= OLDEST_NODE)
            )
            known.add(stage)
        for copied_from in re.findall(r"--from=(\w+)", instruction.value):
            assert copied_from in known
        assert "type=bind" not in instruction.value  # buildah would not see that it changed


@pytest.fixture
def hadolint() -> str:
    return program("hadolint", install="make test-system")


def test_hadolint_finds_nothing(hadolint: str) -> None:
    result = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout, result.returncode) == ("", 0)


def test_what_is_copied_exists() -> None:
    for instruction in INSTRUCTIONS:
        if instruction.name == "COPY":
            options, *sources = instruction.value.split()[:-1]
            for source in () if options.startswith("--from=") else (options, *sources):
                assert (ROOT / source).exists()


def test_the_built_dashboard_is_part_of_the_wheel() -> None:
    assert "npm run build" in values("RUN", "dashboard")
    assert f"--from=dashboard /build/{OUT} {OUT}" in values("COPY", "wheel")
    built_into = re.search(r'outDir: "(\S+)"', (ROOT / "dashboard/vite.config.ts").read_text())
    assert built_into
    assert (ROOT / "dashboard" / built_into[1]).resolve() == ROOT / OUT


def test_the_context_holds_what_the_wheel_is_built_from_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    packages = {
        pattern.rstrip("*")
        for pattern in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    }
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == packages | {
        "pyproject.toml",
        "requirements",
        "README.md",
        "LICENSE",
        "dashboard",
    }
    # What this machine built and installed stays here.
    assert {"service/dashboard", "**/node_modules"} <= set(lines)


@pytest.mark.parametrize("stage", ["wheel", "server", "worker"])
def test_a_stage_installs_only_packages_whose_hashes_are_known(stage: str) -> None:
    installs = [shlex.split(value) for value in values("RUN", stage) if "pip install" in value]
    lists = []
    for install in installs:
        options = install[install.index("install") + 1 :]
        if options[0] == "--require-hashes":
            assert options[1] == "--requirement"
            assert len(options) == 3
            assert f"requirements/{options[2]} ./" in values("COPY", stage)
            lists.append(Path(options[2]).stem)
        else:  # the project's own wheel; `pip check` finds what the lists lack
            assert options == ["--no-deps", "--root", "/installed", "/wheels/*.whl"]
    assert lists == {"wheel": ["build"], "server": ["server"], "worker": ["torch", "worker"]}[stage]


def test_the_wheel_is_built_with_the_pinned_tools() -> None:
    (build,) = [value for value in values("RUN", "wheel") if "pip wheel" in value]
    assert "--no-build-isolation" in build.split()
    names = {Requirement(text).name for text in PYPROJECT["build-system"]["requires"]}
    assert set(pinned("build")) == names


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_requirements_has_the_tested_versions_and_a_hash_of_each(name: str) -> None:
    tested: dict[str, str] = {
        canonicalize_name(requirement.name): str(requirement.specifier)
        for requirement in map(Requirement, lines_of(ROOT / "constraints.txt"))
    }
    for package, (version, hashes) in pinned(name).items():
        assert hashes, package
        if package in tested:
            assert version == tested[package]
        else:  # torch's CUDA build pins the libraries that it was built with
            assert name == "torch"
            assert re.match("nvidia-|cuda-|triton$", package)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_requirements_names_no_host(name: str) -> None:
    assert "://" not in (ROOT / f"requirements/{name}.txt").read_text()


@pytest.mark.parametrize(
    ("lists", "extras"),
    [
        (["server"], ["server"]),
        (["torch", "worker"], ["worker", "quantization", "sensors", "trackers", "vision"]),
    ],
)
def test_an_image_has_all_that_its_extras_ask_for(lists: list[str], extras: list[str]) -> None:
    versions = {package: version for name in lists for package, version in versions_of(name)}
    for requirement in needed(extras):
        version = versions[canonicalize_name(requirement.name)].removeprefix("==")
        assert requirement.specifier.contains(version)


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
    assert values("COPY", target)[-1] == "--from=wheel /installed /"
    assert values("RUN", target)[-1] == "pip check"  # it finds what the lists lack
    assert "PYTHONSAFEPATH=1" in data
