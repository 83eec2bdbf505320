"""One request to somebody else's server, whatever that does."""

import contextlib
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jobs.locations import servers
from service.background import safe_post
from service.background.safe_post import post
from tests.fixtures.servers import free_ports
from tests.service.receiver import Receiver, status


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    monkeypatch.setattr(servers, "resolve", lambda *_: list(addresses))


def test_the_body_arrives_as_it_was_with_its_headers(receiver: Receiver) -> None:
    outcome = post(receiver.url, b'{"a": 1}', {"webhook-id": "x"}, only_public=False)
    assert (outcome.status, outcome.error) == (204, None)
    (request,) = receiver.requests
    assert (request.path, request.body) == ("/hook", b'{"a": 1}')
    assert request.headers["webhook-id"] == "x"


def test_the_request_goes_to_the_address_that_was_checked_and_names_the_host(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, "127.0.0.1")
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")
    assert post(url, b"", {}, only_public=False).status == 204
    assert receiver.requests[0].headers["Host"].startswith("hooks.example.com:")


def test_a_name_that_now_points_into_a_private_network_gets_no_request(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, "8.8.8.8", "127.0.0.1")
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")
    outcome = post(url, b"", {}, only_public=True)
    assert outcome.error is not None
    assert outcome.error.startswith("the URL points to 127.0.0.1, which is not on the public")
    assert receiver.requests == []


def test_of_several_addresses_the_next_is_tried(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    assert post(receiver.url, b"", {}, only_public=False).status == 204


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answer = lambda handler: status(handler, 307, Location=receiver.url)
    outcome = post(receiver.url, b"", {}, only_public=False)
    assert (outcome.status, outcome.error) == (307, "it answered 307")
    assert len(receiver.requests) == 1


def test_of_an_answer_that_refuses_the_status_alone_is_kept(receiver: Receiver) -> None:
    receiver.answer = lambda handler: status(handler, 500, b"what only the service can read")
    outcome = post(receiver.url, b"", {}, only_public=False)
    assert (outcome.status, outcome.error) == (500, "it answered 500")


def test_an_answer_that_is_no_http_is_not_quoted(receiver: Receiver) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"what only the service can read\r\n\r\n")

    receiver.answer = answer
    outcome = post(receiver.url, b"", {}, only_public=False)
    assert (outcome.status, outcome.error) == (None, "the connection failed: RemoteProtocolError")


def test_an_answer_that_drips_is_not_waited_for(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        with contextlib.suppress(OSError):
            for character in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 20:
                handler.wfile.write(bytes([character]))
                time.sleep(0.05)

    receiver.answer = drip
    monkeypatch.setattr(safe_post, "TIMEOUT_SECONDS", 0.3)
    begun = time.monotonic()
    outcome = post(receiver.url, b"", {}, only_public=False)
    assert (outcome.status, outcome.error) == (None, "it did not answer within 0.3 s")
    assert time.monotonic() - begun < 1


def test_a_name_server_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(servers, "resolve", lambda *_: answered.wait(20) and [])
    monkeypatch.setattr(safe_post, "TIMEOUT_SECONDS", 0.1)
    outcome = post("https://hooks.example.com/", b"", {}, only_public=False)
    answered.set()
    assert outcome.error == "no name server answered within 0.1 s"


@pytest.mark.integration
def test_nobody_there_is_said_so() -> None:
    (port,) = free_ports(1)
    outcome = post(f"http://127.0.0.1:{port}/", b"", {}, only_public=False)
    assert outcome.error is not None
    assert outcome.error.startswith("it cannot be reached")


def test_a_connection_that_breaks_off_is_said_so(receiver: Receiver) -> None:
    receiver.answer = lambda handler: handler.connection.close()
    outcome = post(receiver.url, b"", {}, only_public=False)
    assert outcome.error is not None
    assert outcome.error.startswith("the connection failed")


@pytest.fixture
def secured(receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """With a certificate for hooks.example.com, which resolves to it, and which is trusted."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(certificate_for("hooks.example.com"))
    receiver.serve_tls(certificate)
    monkeypatch.setattr(
        safe_post, "_trusted", lambda: ssl.create_default_context(cafile=certificate)
    )
    resolves_to(monkeypatch, "127.0.0.1")
    return receiver


def test_the_certificate_is_checked_against_the_name(secured: Receiver) -> None:
    assert post(secured.url, b"", {}, only_public=False).status == 204
    other = post(secured.url.replace("hooks.", "other."), b"", {}, only_public=False)
    assert other.error is not None
    assert "Hostname mismatch" in other.error
    assert len(secured.requests) == 1


def certificate_for(name: str) -> bytes:
    """A key and a certificate that it signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(pem, *plain) + certificate.public_bytes(pem)
