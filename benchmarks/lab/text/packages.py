"""Debian packages: download, identify and unpack them."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from relora_core.files import sha256


class PackagesError(Exception):
    """The packages cannot be had. The message says what to do."""


class Package(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    sha256: str  # of the .deb file

    @classmethod
    def of(cls, file: Path) -> Self:
        name, version = (_dpkg_deb("--field", file, key) for key in ("Package", "Version"))
        return cls(name=name, version=version, sha256=sha256(file))


def files_of(names: Iterable[str], folder: Path) -> dict[str, Path]:
    """Return the .deb file of each package, and download those that the folder lacks."""
    names = list(names)
    missing = [name for name in names if not _files(name, folder)]
    if missing:
        _download(missing, folder)
    found = {name: _files(name, folder) for name in names}
    for name, files in found.items():
        if len(files) != 1:
            raise PackagesError(f"{folder} has {len(files)} files of {name}; leave one there")
    return {name: files[0] for name, files in found.items()}


def unpack(file: Path, folder: Path) -> None:
    _dpkg_deb("--extract", file, folder)


def _files(name: str, folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{name}_*.deb"))


def _download(names: list[str], folder: Path) -> None:
    wanted = (
        f"put the .deb files of {', '.join(names)} of Debian 12 (bookworm) into a folder, and "
        "give it with --packages FOLDER"
    )
    apt = shutil.which("apt-get")
    if apt is None:
        raise PackagesError(f"there is no apt-get on this machine: {wanted}")
    folder.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(
        [apt, "download", *names], cwd=folder, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise PackagesError(
            f"{result.stderr.strip()}\napt-get cannot download them: run `apt-get update` as root "
            f"first; or {wanted}"
        )


def _dpkg_deb(option: str, file: Path, argument: Path | str) -> str:
    program = shutil.which("dpkg-deb")
    if program is None:
        raise PackagesError(
            "dpkg-deb is missing: install the package dpkg, which other systems have too"
        )
    result = subprocess.run(
        [program, option, str(file), str(argument)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise PackagesError(f"{file} cannot be read; download it again: {result.stderr.strip()}")
    return result.stdout.strip()
