"""A receiver of webhooks: prints what happens to jobs, after a check of who says so.

    WEBHOOK_SECRET=... python examples/webhook_receiver.py

On the service's own machine, run that with RELORA_WEBHOOK_ALLOW_PRIVATE=true, and let the webhook
point to http://127.0.0.1:9000/.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from jobs.webhooks.signature import SIGNATURE_HEADER, InvalidSignature, verify_signature

SECRET = os.environ.get("WEBHOOK_SECRET", "")
PORT = int(os.environ.get("PORT", "9000"))


class Receiver(BaseHTTPRequestHandler):
    seen: set[str] = set()  # noqa: RUF012 # of all requests; a real one keeps them in a database

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            verify_signature(body, self.headers[SIGNATURE_HEADER], SECRET)
        except InvalidSignature as error:
            self.send_error(400, str(error))
            return
        self.send_response(204)
        self.end_headers()
        self.handle_once(self.headers["Relora-Delivery"], json.loads(body))

    def handle_once(self, delivery: str, message: dict[str, dict[str, str]]) -> None:
        if delivery not in self.seen:
            self.seen.add(delivery)
            print(message["job_id"], message["event"]["type"], message["event"], flush=True)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Receiver) as server:
        server.serve_forever()
