"""The software bill of materials of an image, in CycloneDX 1.6: what is installed in it."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

# Runs in the image. Prints its distributions of Python and its packages of Debian, as JSON.
LIST_INSTALLED = """
import json, subprocess
from importlib.metadata import distributions

dpkg = ["dpkg-query", "--show", "--showformat=${Package}\\t${Version}\\t${Architecture}\\n"]
packages = subprocess.run(dpkg, capture_output=True, text=True, check=True).stdout
python = {(d.name, d.version, d.metadata.get("License-Expression")) for d in distributions()}
found = {
    "python": sorted(python, key=str),
    "debian": [line.split("\\t") for line in packages.splitlines()],
}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Image:
    """An image of the project, by its name and tag and by what its registry calls it."""

    name: str
    version: str
    digest: str


def bill_of_materials(image: Image, installed: str) -> dict[str, Any]:
    """Return the document for an image, from what `LIST_INSTALLED` printed in it."""
    found = json.loads(installed)
    components = [
        *(_python(name, version, licence) for name, version, licence in found["python"]),
        *(_debian(*package) for package in found["debian"]),
    ]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{image.name}@{image.digest}')}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": f"{image.name}@{image.digest}",
                "name": image.name,
                "version": image.version,
            }
        },
        "components": components,
    }


def _python(name: str, version: str, licence: str | None) -> dict[str, Any]:
    purl = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}"
    return _library(name, version, purl) | (
        {"licenses": [{"expression": licence}]} if licence else {}
    )


def _debian(name: str, version: str, architecture: str) -> dict[str, Any]:
    purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"
    return _library(name, version, purl)


def _library(name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
