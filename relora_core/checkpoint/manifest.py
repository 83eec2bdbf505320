"""The `manifest.json` of a checkpoint: the sizes and hashes of its files. No torch needed.

It is the last file that is written, so a folder without it is not a checkpoint.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relora_core.errors import CheckpointError
from relora_core.files import sha256

MANIFEST = "manifest.json"


class ManifestFile(BaseModel):
    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)

    step: int
    files: dict[str, ManifestFile] = Field(min_length=1)

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files.values())


def write_manifest(folder: Path, step: int) -> Manifest:
    """Write the manifest of the files that are in the folder now, and return it."""
    files = {
        file.relative_to(folder).as_posix(): ManifestFile(
            size=file.stat().st_size, sha256=sha256(file)
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    manifest = Manifest(step=step, files=files)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a checkpoint. Raise `CheckpointError` if it is missing or not valid."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise CheckpointError(f"{folder.name}/{MANIFEST} {reason}") from error
    except ValidationError as error:
        raise CheckpointError(f"{folder.name}/{MANIFEST} is damaged") from error


def verify(folder: Path) -> Manifest:
    """Raise `CheckpointError` if a file of the manifest is missing, cut short or changed."""
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != expected.size:
            raise CheckpointError(f"{folder.name}/{name} is missing or cut short")
        if sha256(file) != expected.sha256:
            raise CheckpointError(f"{folder.name}/{name} does not have the sha256 of the manifest")
    return manifest
