"""Trainer, worker and jobs take the names of a workdir's files from one module."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from relora_core.workdir import files
from relora_core.workdir.files import checkpoint_path, log_path, step_folders, step_name

ROOT = Path(__file__).parents[3]
# These two are kinds of artifacts, too; as the name of a folder they are part of a path.
KINDS = {files.FINAL, files.MERGED}
# The `datasets` library has a state.json of its own.
OF_OTHERS = {"relora_core/data/find.py: state.json", "relora_core/data/find.py: */state.json"}
NAMES = {value for name, value in vars(files).items() if name.isupper()} - {files.STEP_NAME}


def is_name(text: str) -> bool:
    """Whether a literal is the path of a workdir's file, or a part of one."""
    if " " in text or text in KINDS:
        return False
    parts = text.split("/")
    return not NAMES.isdisjoint(parts) or any(
        re.match(r"(\.?step|attempt)-", part) for part in parts
    )


def literals(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("package", ["relora_core", "jobs", "worker"])
def test_no_other_module_writes_the_name_of_a_workdirs_file(package: str) -> None:
    found = {
        f"{file.relative_to(ROOT)}: {literal}"
        for file in (ROOT / package).rglob("*.py")
        if file != Path(files.__file__) and "migrations" not in file.parts
        for literal in literals(file.read_text())
        if is_name(literal)
    }
    assert found - OF_OTHERS == set()


def test_the_paths_are_those_that_older_runs_have() -> None:
    assert step_name(1000) == "step-00001000"
    assert step_name(123_456_789) == "step-123456789"
    assert checkpoint_path(5) == "checkpoints/step-00000005"
    assert log_path(2) == "logs/attempt-2.log"


def test_folders_of_steps_are_listed_by_their_number_and_others_are_left_out(
    tmp_path: Path,
) -> None:
    for name in ("step-100000000", "step-00000020", "step-00000020 copy", ".step-00000030.tmp"):
        (tmp_path / name).mkdir()
    assert list(step_folders(tmp_path)) == [20, 100_000_000]
