"""What docs/cli.md says to type is typed, against a live service."""

import json
import re
import shlex
import subprocess
import threading
from pathlib import Path
from string import Template

import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job
from tests.service.cli.conftest import Relora
from tests.service.files import AddFile, play_generator

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "cli.md").read_text()
ENDLESS = ("relora up", "relora --install-completion", "relora jobs follow", "relora jobs wait")
# What the page uses of a shell: an id is kept, a text piped in, what is printed goes to a file.
LINE = re.compile(
    r"((?P<kept>[A-Z]+)=\$\()?(echo \"(?P<piped>.*)\" \| )?relora (?P<words>.*?)"
    r"(?(kept) --json \| jq -r \.id\))( > (?P<file>\S+))?"
)


def lines() -> list[str]:
    """Of the page's shell examples, without their comments."""
    text = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.S))
    return [line for line in re.sub(r"  +#.*", "", text).splitlines() if line]


@pytest.mark.slow
def test_every_line_does_what_it_says(
    relora: Relora,
    backends: Backends,
    running: Job,
    add_file: AddFile,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    add_file("final/config.json", b"{}")
    add_file("logs/attempt-1.log", b"step 1 loss 4.0\n")
    generator = threading.Thread(target=play_generator, args=(backends,))
    generator.start()
    screen = type_all(relora, {"JOB": running.id})
    generator.join()
    assert Path("job.yaml").read_text().startswith("# ")
    assert Path("loss.csv").read_text() == "step,loss\n1,4.0\n"
    assert Path("my-model/final/config.json").read_bytes() == b"{}"
    assert "In the beginning was" in screen
    assert "step 1 loss 4.0" in screen
    assert "upload://ds_" in screen
    assert re.search(r"^queued_jobs +0 +100 *$", screen, re.M)


def type_all(relora: Relora, names: dict[str, str]) -> str:
    """Gives what is on the screen at the end. The job that has the name stays: it is further."""
    screen = ""
    for line in lines():
        if line.startswith(ENDLESS):
            continue
        parts = LINE.fullmatch(line)
        assert parts, line
        words = shlex.split(Template(parts["words"]).substitute(names))
        as_json = ["--json"] if parts["kept"] else []
        done = relora(*words, *as_json, given=echo(parts["piped"]))
        assert done.exit_code == 0, (line, done.output)
        if parts["kept"]:
            names.setdefault(parts["kept"], json.loads(done.stdout)["id"])
        elif parts["file"]:
            Path(parts["file"]).write_text(done.stdout)
        else:
            screen += done.stdout
    return screen


def echo(text: str | None) -> str | None:
    """Return what a shell prints: the text of a secret is drawn by a command."""
    if text is None:
        return None
    printed = subprocess.run(
        ["/bin/sh", "-c", f'echo "{text}"'], capture_output=True, check=True, text=True
    )
    return printed.stdout
