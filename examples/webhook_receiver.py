"""A receiver of webhooks: it verifies the sender and prints the events of jobs.

    pip install standardwebhooks
    WEBHOOK_SECRET=whsec_... python examples/webhook_receiver.py

If it runs on the same machine as the service, start the service with
RELORA_WEBHOOK_ALLOW_PRIVATE=true, and give the webhook the URL http://127.0.0.1:9000/.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
PORT = int(os.environ.get("PORT", "9000"))


class Receiver(BaseHTTPRequestHandler):
    seen: set[str] = set()  # noqa: RUF012 # of all requests; in production use a database

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            message = WEBHOOK.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            self.send_error(400, str(error))
            return
        self.send_response(204)
        self.end_headers()
        self.handle_once(self.headers["webhook-id"], message)

    def handle_once(self, message_id: str, message: dict[str, dict[str, str]]) -> None:
        if message_id not in self.seen:
            self.seen.add(message_id)
            print(message["job_id"], message["event"]["type"], message["event"], flush=True)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Receiver) as server:
        server.serve_forever()
