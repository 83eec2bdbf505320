"""docs/troubleshooting.md quotes messages that the code has, and docs/install.md its extras."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/troubleshooting.md").read_text()
CELLS = re.findall(r"^\| (`.*?`) (?:from .*? )?\|", PAGE, re.M)


def messages_of_the_code() -> str:
    """All text of the packages, with the pieces of a long message joined."""
    files = [file for name in ("relora_core", "jobs", "service", "worker")
             for file in (ROOT / name).rglob("*.py")]  # fmt: skip
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(file.read_text() for file in files))


def test_a_message_that_is_quoted_is_one_of_the_code() -> None:
    code = messages_of_the_code()
    pieces = [piece.strip(" `();:") for cell in CELLS for piece in cell.split("...")]
    assert [piece for piece in pieces if len(piece) > 2 and piece not in code] == []


def test_the_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs/install.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == set(project["optional-dependencies"])
