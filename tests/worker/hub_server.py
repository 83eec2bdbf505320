"""A fake Hugging Face Hub that implements only what an upload needs."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    url: str = ""
    tokens: set[str | None] = field(default_factory=set)
    repositories: dict[str, str] = field(default_factory=dict)  # name: visibility
    files: dict[str, bytes] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)  # large files, by their hash
    refusals: list[int] = field(default_factory=list)  # statuses of the next requests


def answer(hub: Hub, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    if path == "/api/repos/create":
        made = json.loads(body)
        name = f"{made['organization']}/{made['name']}"
        hub.repositories[name] = made.get("visibility") or str(made.get("private"))
        return 200, {"url": f"{hub.url}/{name}", "id": name, "name": name}
    if "/preupload/" in path:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        return 200, {"files": files}
    if path.endswith("/info/lfs/objects/batch"):
        objects = [
            {**one, "actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        return 200, {"transfer": "basic", "objects": objects}
    if path.startswith("/lfs/"):
        hub.stored[path.removeprefix("/lfs/")] = body
        return 200, {}
    if "/commit/" in path:
        _commit(hub, [json.loads(line) for line in body.splitlines()])
        return 200, {"commitUrl": f"{hub.url}/org/model/commit/{COMMIT}", "commitOid": COMMIT}
    return 200, {"warnings": [], "errors": []}  # the model card is fine


def _commit(hub: Hub, lines: list[dict[str, Any]]) -> None:
    for line in lines:
        value = line["value"]
        match line["key"]:
            case "header":
                hub.messages.append(value["summary"])
            case "file":
                hub.files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                hub.files[value["path"]] = hub.stored[value["oid"]]


@contextmanager
def serving_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if not self.path.startswith("/lfs/"):
                hub.tokens.add(self.headers["Authorization"])
            status, document = (
                (hub.refusals.pop(0), {"error": "refused"})
                if hub.refusals
                else answer(hub, self.path, body)
            )
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_POST  # noqa: N815 # the name is given by http.server

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield hub
        server.shutdown()
        thread.join()
