"""Words that were replaced by those of the field do not come back."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRODUCT = ("README.md", "Dockerfile", "docs", "examples", "jobs", "k8s", "relora_core", "service")
# They read and rename what earlier versions stored, or tell how to.
READERS = {"jobs/schemas/event_patterns.py", "docs/operations.md"}
RETIRED = re.compile(
    r"\b(wish(es|ed)?|obstacles?|held_back|set[ _]aside|remarks?|relora-sweep|worker\.sweep"
    r"|the sweep (returns|sends|puts|gives|deletes|calls))\b",
    re.IGNORECASE,
)


def test_retired_words_are_in_no_code_and_no_page() -> None:
    roots = [ROOT / name for name in (*PRODUCT, "worker", "website")]
    files = [file for root in roots for file in (root, *root.rglob("*")) if file.is_file()]
    found = [
        f"{file.relative_to(ROOT)}: {match.group()}"
        for file in files
        if file.suffix in {".py", ".md", ".yaml", ".toml", ""} and "migrations" not in file.parts
        if str(file.relative_to(ROOT)) not in READERS
        for match in RETIRED.finditer(file.read_text())
    ]
    assert found == []
