"""What `import relora_core as relora` gives."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import relora_core as relora


def test_each_name_is_the_one_of_its_module() -> None:
    for name, module in relora._MODULES.items():
        assert getattr(relora, name) is getattr(import_module(module), name)
    assert relora._MODULES.keys() <= set(dir(relora))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(relora.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert {name: seen.get(name) for name in relora.__all__} == relora._MODULES


def test_no_module_hides_a_name() -> None:
    """`relora_core.train` would become the module once something imported a module train.py."""
    folder = Path(relora.__file__).parent
    assert {path.stem for path in folder.iterdir()}.isdisjoint(relora.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'relora_core' has no attribute 'trian'"):
        relora.trian  # noqa: B018


@pytest.mark.integration
def test_the_spec_loads_no_torch() -> None:
    code = (
        "import sys, relora_core as r; r.TrainSpec, r.TrainError; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
