"""docs/coming-from.md names every key of axolotl that is carried over, and fields that exist."""

import re
from pathlib import Path

from service.cli.axolotl_config import Config
from website.spec_reference import PAGE as SPEC

PAGE = (Path(__file__).parents[3] / "docs/coming-from.md").read_text()
ROWS = re.findall(r"^\| (`.*?) \| (.*?) \|", PAGE, re.M)
AXOLOTL, _, _ = PAGE.partition("## From the paper's code")


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_key_that_is_carried_over_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`.*?) \|", AXOLOTL, re.M)
    assert Config.model_fields.keys() <= {name for row in rows for name in names(row)}


def test_every_field_of_the_spec_that_is_named_exists() -> None:
    fields, part = set(), ""
    for line in SPEC.read_text().splitlines():
        if heading := re.match(r"#+ `(.*)`", line):
            part = f"{heading[1]}."
        elif row := re.match(r"\| `(\w+)` \|", line):
            fields.add(part + row[1])
    named = {name for _, cell in ROWS for name in names(cell) if re.match(r"[a-z]", name)}
    assert named - {"relora_core train"} <= fields
