"""Build, push and sign the images of a release: `python -m release.images REGISTRY`.

The images are built on bases that are pinned by the digest that their registry gives now. Nothing
is pushed before both images are built. The program stops if a registry does not answer.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from release.sbom import LIST_INSTALLED, Image, bill_of_materials

ROOT = Path(__file__).parents[1]
TARGETS = ("server", "worker")
BASES = {"PYTHON_IMAGE": "python:3.11-slim", "NODE_IMAGE": "node:22-slim"}


class ReleaseStopped(Exception):
    """A step failed. The message says which, and what it printed."""


@dataclass(frozen=True)
class Commands:
    """Runs commands or, in a dry run, prints them."""

    engine: str
    dry_run: bool

    def run(self, *command: str, text: str = "") -> str:
        if self.dry_run:
            print(shlex.join(command))  # noqa: T201 - the program's output
            return ""
        ended = subprocess.run(command, input=text, capture_output=True, text=True)
        if ended.returncode:
            raise ReleaseStopped(f"{shlex.join(command)}\n{ended.stderr.strip()}")
        return ended.stdout.strip()

    def of_engine(self, *arguments: str, text: str = "") -> str:
        return self.run(self.engine, *arguments, text=text)

    def pinned(self, image: str) -> str:
        """Return `NAME@DIGEST` for an image, as its registry has it now."""
        repository = image.rpartition(":")[0] if ":" in image.rpartition("/")[2] else image
        self.of_engine("pull", image)
        digests = self.of_engine("image", "inspect", "--format={{json .RepoDigests}}", image)
        if self.dry_run:
            return f"{repository}@sha256:..."
        for known in json.loads(digests):
            if known.partition("@")[0].endswith(repository):
                return str(known)
        raise ReleaseStopped(f"the registry of {image} gave no digest")


@dataclass(frozen=True)
class Release:
    registry: str
    version: str
    revision: str
    context: Path
    folder: Path

    def image(self, target: str) -> str:
        return f"{self.registry}/relora-{target}:{self.version}"


def make(
    release: Release, commands: Commands, *, bases: dict[str, str], sign: Sequence[str]
) -> None:
    """Build, push, describe and sign the images. Write what pins them in an overlay."""
    arguments = [f"--build-arg={name}={commands.pinned(image)}" for name, image in bases.items()]
    for target in TARGETS:
        commands.of_engine(
            "build",
            f"--target={target}",
            f"--tag={release.image(target)}",
            f"--label=org.opencontainers.image.version={release.version}",
            f"--label=org.opencontainers.image.revision={release.revision}",
            *arguments,
            str(release.context),
        )
    pins = []
    for target in TARGETS:
        commands.of_engine("push", release.image(target))
        pinned = commands.pinned(release.image(target))
        _describe(release, commands, target, pinned)
        if sign:
            commands.run(*sign, pinned)
        name, _, digest = pinned.partition("@")
        pins.append({"name": f"relora-{target}", "newName": name, "digest": digest})
    _write(release, commands, "images.yaml", yaml.safe_dump({"images": pins}, sort_keys=False))


def _describe(release: Release, commands: Commands, target: str, pinned: str) -> None:
    run = ["run", "--rm", "--interactive", "--network=none", "--entrypoint=python"]
    installed = commands.of_engine(*run, pinned, "-", text=LIST_INSTALLED)
    if not commands.dry_run:
        name, _, digest = pinned.partition("@")
        bill = bill_of_materials(Image(name, release.version, digest), installed)
        _write(release, commands, f"relora-{target}.cdx.json", json.dumps(bill, indent=1))


def _write(release: Release, commands: Commands, name: str, content: str) -> None:
    if not commands.dry_run:
        release.folder.mkdir(parents=True, exist_ok=True)
        (release.folder / name).write_text(content)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m release.images", description=__doc__)
    parser.add_argument("registry", help="where to push, such as registry.example.com/ml")
    parser.add_argument("--engine", default="docker", help="docker (the default) or podman")
    parser.add_argument("--sign", default="", help="a command that gets the image as its last word")
    parser.add_argument("--python-image", default=BASES["PYTHON_IMAGE"])
    parser.add_argument("--node-image", default=BASES["NODE_IMAGE"])
    parser.add_argument("--context", type=Path, default=ROOT)
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run none")
    chosen = parser.parse_args(arguments)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    commands = Commands(chosen.engine, dry_run=chosen.dry_run)
    revision = Commands(chosen.engine, dry_run=False).run(
        "git", "-C", str(ROOT), "rev-parse", "HEAD"
    )
    release = Release(
        registry=chosen.registry,
        version=project["version"],
        revision=revision,
        context=chosen.context,
        folder=chosen.output,
    )
    bases = {"PYTHON_IMAGE": chosen.python_image, "NODE_IMAGE": chosen.node_image}
    try:
        make(release, commands, bases=bases, sign=shlex.split(chosen.sign))
    except ReleaseStopped as stopped:
        print(f"The release stopped at: {stopped}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
