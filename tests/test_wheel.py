"""The wheel, as a program that depends on relora finds it installed."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("relora_core", "jobs", "service", "worker")
PROGRAM = """
import relora_core as relora
from service.client import Client
from worker.node.gpus import gpus_here

reveal_type(relora.train(relora.TrainSpec(), "workdir"))
reveal_type(Client("http://localhost:8000").jobs.wait("job_1"))
reveal_type(gpus_here())
"""
FOUND = """
program.py:6: note: Revealed type is "bool"
program.py:6: error: Argument 2 to "train" has incompatible type "str"; expected "Path"  [arg-type]
program.py:7: note: Revealed type is "jobs.schemas.job.Job"
program.py:8: note: Revealed type is "tuple[jobs.schemas.workers.Gpu, ...]"
Found 1 error in 1 file (checked 1 source file)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    build = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


@pytest.mark.slow
@pytest.mark.integration
def test_it_has_all_that_the_packages_have_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert names == {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
@pytest.mark.integration
def test_a_type_checker_finds_the_types_of_an_installed_relora(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv")
    (packages,) = (tmp_path / "venv/lib").glob("*/site-packages")
    zipfile.ZipFile(wheel).extractall(packages)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", "", "--cache-dir", "/dev/null"),
            *("--python-executable", tmp_path / "venv/bin/python", program),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.stdout == FOUND.lstrip()
