"""Sign in through a proxy that terminates TLS, in a browser."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from jobs.backends import Backends
from jobs.schemas.job import JobSpec
from tests.service.background.test_safe_post import certificate_for
from tests.service.dashboard.test_sign_in import url
from tests.service.keys import make_key

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["url"]


@pytest.fixture
def tls_url(url: str, tmp_path: Path) -> Iterator[str]:
    """The address of a proxy with a certificate, in front of the service."""
    (tmp_path / "tls.pem").write_bytes(certificate_for("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem")
    address = urlsplit(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = (str(address.hostname), int(address.port or 0))
        threading.Thread(target=accept, args=(listener, context, service), daemon=True).start()
        yield f"https://localhost:{listener.getsockname()[1]}"


def accept(listener: socket.socket, context: ssl.SSLContext, service: tuple[str, int]) -> None:
    with suppress(OSError):  # the listener was closed
        while True:
            opened, _ = listener.accept()
            threading.Thread(target=serve, args=(opened, context, service), daemon=True).start()


def serve(opened: socket.socket, context: ssl.SSLContext, service: tuple[str, int]) -> None:
    """Send what comes from the browser to the service, and back."""
    with (
        suppress(OSError),
        context.wrap_socket(opened, server_side=True) as browser,
        socket.create_connection(service) as behind,
    ):
        threading.Thread(target=copy, args=(behind, browser), daemon=True).start()
        copy(browser, behind)


def copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_the_cookie_of_a_browser_behind_tls_never_goes_over_plain_http(
    chromium: "Browser", backends: Backends, tls_url: str, document: dict[str, Any]
) -> None:
    key, job = make_key(backends), backends.store.create(JobSpec.model_validate(document))
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(tls_url)
    page.fill("#key", key.key)
    page.keyboard.press("Enter")
    page.wait_for_selector("tbody tr")
    (cookie,) = context.cookies(f"{tls_url}/v1/jobs")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    page.goto(f"{tls_url}/jobs/{job.id}")
    page.get_by_role("button", name="Pause").click()  # a change, with the cookie alone
    page.locator("dialog").get_by_role("button", name="Pause").click()
    page.wait_for_selector(".title .status.paused")
    page.click("text=Sign out")
    page.wait_for_selector("#key")
    assert context.cookies(f"{tls_url}/v1/jobs") == []
    context.close()
