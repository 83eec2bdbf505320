"""Build the documentation site: `make docs`.

The pages keep their paths from the repository, so that their links work in both places.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from website import schemas, spec_reference

ROOT = Path(__file__).parents[1]
PAGES = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE"),
    *("docs", "examples", "k8s", "benchmarks/METHOD.md", "benchmarks/lab/declared.py"),
)


def build(folder: Path) -> Path:
    """Build the site in a folder and return its path. A warning counts as an error."""
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
    print(f"The site is in {build(ROOT / 'build/website')}")  # noqa: T201 - the program's output
