"""Folders named by a step: `step-00001000`. Torch-free."""

import re
from pathlib import Path

_NAME = re.compile(r"step-([0-9]{8,})")


def step_name(step: int) -> str:
    return f"step-{step:08d}"


def step_folders(parent: Path) -> dict[int, Path]:
    """List the folders of steps in `parent`, oldest first; their content is not looked at.

    Other names, such as that of a copy that a person made, are left out.
    """
    named = [(_NAME.fullmatch(folder.name), folder) for folder in parent.glob("step-*")]
    return dict(sorted((int(name[1]), folder) for name, folder in named if name))
