"""A release of the images: what it would run, and a whole one with a registry of its own."""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release.images import main
from release.sbom import Image, bill_of_materials
from tests.fixtures.containers import Podman
from tests.fixtures.servers import free_ports
from tests.fixtures.tiers import program

CONTEXT = """
ARG PYTHON_IMAGE
ARG NODE_IMAGE
FROM ${NODE_IMAGE} AS dashboard
FROM ${PYTHON_IMAGE} AS server
LABEL target=server
FROM ${PYTHON_IMAGE} AS worker
LABEL target=worker
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Start a registry of images. Return its address."""
    (port,) = free_ports(1)
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(config))
    serve = program("docker-registry", install="apt-get install docker-registry")
    with subprocess.Popen(
        [serve, "serve", tmp_path / "registry.yaml"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield f"127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def engine(podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let Podman reach registries of this machine without TLS."""
    registries = tmp_path / "registries.conf"
    registries.write_text('[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n')
    for name, value in podman.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries))
    return podman.program


@pytest.mark.integration
def test_a_dry_run_prints_what_a_release_runs_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "dist"
    options = ["--engine=no-such-engine", "--sign=cosign sign --yes", f"--output={output}"]
    assert main(["r.example/ml", "--dry-run", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [shlex.split(line) for line in lines if line.startswith(("no-such", "cosign"))]
    assert [command[:2] for command in commands] == [
        ["no-such-engine", "pull"],
        ["no-such-engine", "image"],
        ["no-such-engine", "pull"],
        ["no-such-engine", "image"],
        ["no-such-engine", "build"],
        ["no-such-engine", "build"],
    ] + 2 * [
        ["no-such-engine", "push"],
        ["no-such-engine", "pull"],
        ["no-such-engine", "image"],
        ["no-such-engine", "run"],
        ["cosign", "sign"],
    ]
    assert not output.exists()


def test_a_release_pins_its_bases_and_its_images_and_signs_what_it_pushed(
    podman: Podman, engine: str, registry: str, tmp_path: Path
) -> None:
    base = f"{registry}/python:3.11"
    podman("tag", "localhost/relora-python-stand-in", base)
    subprocess.run([engine, "push", base], check=True, capture_output=True)
    (tmp_path / "Dockerfile").write_text(CONTEXT)
    sign = tmp_path / "sign.sh"
    sign.write_text(f'echo "$1" >> {tmp_path}/signed')
    options = [f"--engine={engine}", f"--python-image={base}", f"--node-image={base}"]
    options += [f"--sign=sh {sign}", f"--context={tmp_path}", f"--output={tmp_path}/dist"]
    assert main([f"{registry}/ml", *options]) == 0

    pins = yaml.safe_load((tmp_path / "dist/images.yaml").read_text())["images"]
    assert [pin["name"] for pin in pins] == ["relora-server", "relora-worker"]
    pinned = [f"{pin['newName']}@{pin['digest']}" for pin in pins]
    assert (tmp_path / "signed").read_text().split() == pinned
    for target, image in zip(("server", "worker"), pinned, strict=True):
        labels = json.loads(podman.inspect(image, "{{json .Config.Labels}}"))
        assert labels["target"] == target
        assert len(labels["org.opencontainers.image.revision"]) == 40
        bill = (tmp_path / f"dist/relora-{target}.cdx.json").read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
        purls = [component["purl"] for component in json.loads(bill)["components"]]
        assert any(purl.startswith("pkg:pypi/pip@") for purl in purls)
        assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in purls)


def test_a_release_stops_where_no_registry_answers(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    base = f"127.0.0.1:{port}/python:3.11"
    options = [f"--engine={engine}", f"--python-image={base}", f"--output={tmp_path}/dist"]
    assert main([f"127.0.0.1:{port}/ml", *options]) == 1
    assert f"pull {base}" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


def test_a_bill_of_materials_names_each_package_and_its_licence() -> None:
    installed = {
        "python": [["typing_extensions", "4.1", "PSF-2.0"]],
        "debian": [["tini", "1", "amd64"]],
    }
    image = Image("r.example/relora-server", "1.0", "sha256:" + 64 * "a")
    bill = bill_of_materials(image, json.dumps(installed))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill)) is None
    python, debian = bill["components"]
    assert python["purl"] == "pkg:pypi/typing-extensions@4.1"
    assert python["licenses"] == [{"expression": "PSF-2.0"}]
    assert debian["purl"] == "pkg:deb/debian/tini@1?arch=amd64"
    assert bill == bill_of_materials(image, json.dumps(installed))  # no time, no chance
