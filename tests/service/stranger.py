"""A server that is not ours."""

from http.server import BaseHTTPRequestHandler


class Stranger(BaseHTTPRequestHandler):
    """Answers each request with the next of the statuses, and the last for ever."""

    statuses: list[tuple[int, dict[str, str]]]
    seen: list[tuple[str, str, dict[str, str]]]

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, dict(self.headers)))
        status, headers = self.statuses[min(len(self.seen), len(self.statuses)) - 1]
        self.send_response(status)
        for name, value in {"Content-Length": "2", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"{}")

    do_GET = do_POST = answer  # noqa: N815 # http.server's names for it

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name there
        pass
