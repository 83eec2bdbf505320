import sys

import pytest
from typer.testing import CliRunner

from service.cli import app


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [("gc", "jobs.backends", "server"), ("up", "service.local.up", "local")],
)
def test_a_command_without_its_packages_says_which_extra_has_them(
    command: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = CliRunner().invoke(app, [command])
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: this command needs the extra '{extra}' (there is no module {module}): "
        f"pip install -e '.[{extra}]' in relora's folder\n"
    )
