"""The image of the worker."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.fixtures.containers import (
    CERTIFICATES,
    ROOT,
    STAND_INS,
    Podman,
    build_target,
    checkout,
    stand_in,
)

IS_BUILT = os.environ.get("WORKER_IMAGE") == "built"  # by `make images`


@pytest.fixture(scope="session")
def worker_image(
    podman: Podman,
    server_image: str,  # noqa: ARG001 # the stand-in is built on it
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """Return the image of the worker, with the build of torch that this environment has.

    Unless `make images` asks for it, a stand-in.
    """
    if not IS_BUILT:
        return stand_in(podman, "worker", STAND_INS)
    image = "localhost/relora-worker"
    folder = tmp_path_factory.mktemp("worker")
    context = checkout(folder / "context")
    with index_of_torch(folder / "index") as index:
        pin = ["make", "requirements", f"TORCH_INDEX={index}", f"VENV={sys.prefix}"]
        trusting = os.environ | {"SSL_CERT_FILE": CERTIFICATES}  # other tests trust nobody
        subprocess.run(pin, cwd=context, env=trusting, check=True)
        build_target(podman, context, "worker", image, f"--build-arg=TORCH_INDEX={index}")
    return image


@contextmanager
def index_of_torch(folder: Path) -> Iterator[str]:
    """Serve the wheel of torch that pip finds for this environment, as an index of packages."""
    wheels = folder / "torch"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", f"--dest={wheels}"]
    subprocess.run([*pip, "torch", f"--constraint={ROOT / 'constraints.txt'}"], check=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
