"""Build the site of the docs: `make docs`.

The pages keep the places that they have in the repository, so that a link works here and there.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from website import schemas, spec_reference

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"),
    *("docs", "examples", "k8s", "benchmarks/METHOD.md", "benchmarks/quality.py"),
)


def build(folder: Path) -> Path:
    """Build the site below this folder and return its place; a warning is an error."""
    for name in PAGES:
        _copy(ROOT / name, folder / "pages" / name)
    shutil.copy(ROOT / "website/zensical.toml", folder)
    zensical = Path(sys.executable).with_name("zensical")
    subprocess.run([zensical, "build", "--strict", "--clean"], cwd=folder, check=True)
    return folder / "site"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


if __name__ == "__main__":
    spec_reference.PAGE.write_text(spec_reference.page())
    schemas.write()
    shutil.rmtree(ROOT / "build/website", ignore_errors=True)
    print(f"The site is in {build(ROOT / 'build/website')}")  # noqa: T201 - a program's answer
