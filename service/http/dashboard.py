"""The dashboard: the built page and its files, or a page that says how to build them.

`make dashboard` builds the page into the folder `service/dashboard`, whose files are read once.
The page is one document for all its addresses (`PATHS`); its script shows the view that the
address names. Links to its files are relative, so that the page also works behind a proxy that
adds a path.
"""

import gzip
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse

import service

FOLDER = Path(service.__file__).parent / "dashboard"
PATHS = (
    "/",
    "/jobs",
    "/jobs/{job_id}",
    "/compare",
    "/sweeps/{sweep_id}",
    "/workers",
    "/project",
    "/new",
)
# The page loads nothing from other hosts, and runs only the scripts of the server.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
ASK_AGAIN = {"Cache-Control": "no-cache", **SAFE}
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable", **SAFE}
NOT_BUILT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>relora</title>
</head>
<body>
<h1>relora</h1>
<p>This server pretrains language models with ReLoRA. Its dashboard was not built.</p>
<ul>
<li>To build it, run <code>make dashboard</code> in the clone of relora, and start the server
again. This needs the npm registry, once.</li>
<li><a href="docs">The HTTP API</a>, which you can try here.</li>
<li>At a terminal: <code>relora --help</code> lists the commands; <code>relora jobs list</code>
shows the jobs.</li>
<li><a href="readyz">Whether the server is ready</a>.</li>
</ul>
</body>
</html>
"""


@dataclass(frozen=True)
class File:
    """A file of the page, as it is and compressed."""

    content: bytes
    compressed: bytes
    media_type: str

    @classmethod
    def read(cls, path: Path) -> "File":
        content = path.read_bytes()
        media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return cls(content, gzip.compress(content, mtime=0), media_type)

    def response(self, request: Request) -> Response:
        """Return the file, compressed if the client can read that. Its name has its hash."""
        headers = {**FOREVER, "Vary": "Accept-Encoding"}
        content = self.content
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            content = self.compressed
        return Response(content, media_type=self.media_type, headers=headers)


def add_dashboard(app: FastAPI, folder: Path = FOLDER) -> None:
    """Add the page at `PATHS`, and its files. OpenAPI does not list them."""
    page = folder / "index.html"
    if not page.exists():
        _add_page(app, lambda _: NOT_BUILT)
        return
    document = page.read_text()
    files = {path.name: File.read(path) for path in (folder / "assets").iterdir()}
    _add_page(app, lambda path: _linked(document, path))
    _add_files(app, files)


def _add_page(app: FastAPI, document: Callable[[str], str]) -> None:
    def page(request: Request) -> Response:
        return HTMLResponse(document(request.url.path), headers=ASK_AGAIN)

    for path in PATHS:
        app.get(path, include_in_schema=False)(page)


def _linked(document: str, path: str) -> str:
    """Return the document with the links of a page at `path`."""
    up = "../" * (path.count("/") - 1)
    return document.replace('"./assets/', f'"{up}assets/')


def _add_files(app: FastAPI, files: Mapping[str, File]) -> None:
    @app.get("/assets/{name}", include_in_schema=False)
    def asset(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404)
        return files[name].response(request)
