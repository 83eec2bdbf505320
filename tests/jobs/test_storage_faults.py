"""The errors of an S3 storage when the server, the network or a permission fails."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import boto3
import pytest
from botocore.config import Config

from jobs.errors import StorageError, StorageRefused
from jobs.locations.ownership import claim_output
from jobs.storage import S3Credentials, Storage, open_storage, s3
from tests.fixtures.proxy import Answer, Proxy
from tests.fixtures.servers import READ_ONLY_CREDENTIALS

pytestmark = pytest.mark.integration

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def proxy(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:  # noqa: ARG001 # it sets what boto3 reads
    """Start a proxy in front of the S3 server of `s3_url`."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    with Proxy.to(endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url(endpoint))
        yield proxy


@pytest.fixture
def storage(s3_url: str, proxy: Proxy, tmp_path: Path) -> Storage:  # noqa: ARG001 # it is the way there
    """Return a storage behind the proxy, with the file `k`."""
    storage = open_storage(s3_url)
    (tmp_path / "k").write_bytes(CONTENT)
    storage.upload(tmp_path / "k", "k")
    return storage


def failure(status: int, code: str) -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


def times(number: int, answer: Answer) -> Callable[[str, str], Answer | None]:
    """Return a function that gives `answer` to the first `number` requests."""
    left = [answer] * number
    return lambda _method, _target: left.pop() if left else None


def put(s3_url: str, key: str, body: bytes = b"") -> None:
    bucket, _, prefix = s3_url.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=body)


def every_action(storage: Storage, file: Path) -> dict[str, Callable[[], Any]]:
    return {
        "PutObject": lambda: storage.upload(file, "new"),
        "GetObject": lambda: storage.download("k", file.with_name("copy")),
        "ListObjectsV2": lambda: list(storage.list("")),
        "DeleteObjects": lambda: storage.delete_files(["k"]),
    }


# --- folder markers ------------------------------------------------------------------------


def test_markers_of_folders_are_no_files(s3_url: str, storage: Storage) -> None:
    for marker in ("corpus/", "checkpoints/", "final/"):
        put(s3_url, marker)
    assert [file.key for file in storage.list("")] == ["k"]
    assert list(storage.list("corpus")) == []
    assert claim_output(storage, "job_1", wrote_before=lambda: False)
    storage.delete("checkpoints")


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["PutObject", "GetObject", "ListObjectsV2", "DeleteObjects"])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDenied"),
        (403, "RequestTimeTooSkewed"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (404, "NoSuchBucket"),
    ],
)
def test_what_is_refused_is_told_at_once_with_action_and_address(
    storage: Storage, proxy: Proxy, s3_url: str, tmp_path: Path, action: str, status: int, code: str
) -> None:
    proxy.answer(lambda _method, _target: failure(status, code))
    started = time.monotonic()
    with pytest.raises(StorageRefused, match=f"refused at {s3_url}.*{action}"):
        every_action(storage, tmp_path / "k")[action]()
    assert time.monotonic() - started < 3


def test_a_right_to_read_is_no_right_to_write(s3_url: str, tmp_path: Path) -> None:
    reader = open_storage(s3_url, S3Credentials(*READ_ONLY_CREDENTIALS))
    assert list(reader.list("")) == []
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(StorageRefused, match=f"{s3_url}/final/a.*PutObject"):
        reader.upload(tmp_path / "file", "final/a")
    with pytest.raises(StorageRefused, match="PutObject"):
        claim_output(reader, "job_1", wrote_before=lambda: False)


def test_keys_that_the_server_does_not_know_are_refused(s3_url: str) -> None:
    stranger = open_storage(s3_url, S3Credentials("nobody", "guessed"))
    with pytest.raises(StorageRefused, match="ListObjectsV2"):
        list(stranger.list(""))


# --- error messages ------------------------------------------------------------------------

SECRET = b"what only the worker can read"


@pytest.mark.parametrize("action", ["PutObject", "GetObject", "ListObjectsV2", "DeleteObjects"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(403, b"<Error><Code>AccessDenied</Code><Message>%s</Message></Error>" % SECRET),
        Answer(400, b"<Error><Code>%s</Code><Message>no</Message></Error>" % SECRET),
        Answer(400, SECRET),
    ],
    ids=["message", "code", "no XML"],
)
def test_no_word_of_a_servers_answer_is_told(
    storage: Storage, proxy: Proxy, tmp_path: Path, action: str, answer: Answer
) -> None:
    proxy.answer(lambda _method, _target: answer)
    with pytest.raises((StorageError, FileNotFoundError)) as failed:
        every_action(storage, tmp_path / "k")[action]()
    assert SECRET.decode() not in str(failed.value)


def test_an_answer_that_is_no_http_is_not_quoted(
    storage: Storage, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answer, "encode", lambda _: SECRET + b"\r\n\r\n")
    proxy.answer(lambda _method, _target: Answer(200))
    with pytest.raises(StorageError, match=r"k: ConnectionClosedError$|k: HTTPClientError$"):
        storage.read("k")


def test_of_an_answer_operation_code_and_status_are_told(storage: Storage, proxy: Proxy) -> None:
    proxy.answer(lambda _method, _target: failure(403, "AccessDenied"))
    with pytest.raises(
        StorageRefused, match=r"k: GetObject was answered with AccessDenied \(HTTP status 403\)$"
    ):
        storage.read("k")


# --- redirects -----------------------------------------------------------------------------


class Redirecting(BaseHTTPRequestHandler):
    """Redirects each request to another path on the same server, as login pages do."""

    protocol_version = "HTTP/1.1"  # a sender of a file can wait for the answer first
    status: int
    headers_beside: Mapping[str, str]

    def _redirect(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"" if self.command == "HEAD" else SECRET
        self.send_response(self.status)
        self.send_header("Location", f"/{SECRET.decode().replace(' ', '-')}")
        self.send_header("Content-Length", str(len(body)))
        for name, value in self.headers_beside.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _redirect  # noqa: N815 # http.server's names

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def redirecting(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Storage, str]]:
    """A bucket behind a server that redirects, and the address of the server."""
    status, beside = request.param
    handler = type("Handler", (Redirecting,), {"status": status, "headers_beside": beside})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield open_storage("s3://bucket"), endpoint
    server.shutdown()
    server.server_close()


REDIRECTS: dict[str, tuple[tuple[int, dict[str, str]], type[StorageError]]] = {
    "for good": ((301, {}), StorageRefused),
    "for now": ((302, {}), StorageError),
    "for now, by the same method": ((307, {}), StorageError),
    "for good, by the same method": ((308, {}), StorageRefused),
    "to another region, again": ((301, {"x-amz-bucket-region": "eu-west-1"}), StorageRefused),
}


@pytest.mark.parametrize(
    ("redirecting", "kind"), REDIRECTS.values(), ids=REDIRECTS, indirect=["redirecting"]
)
@pytest.mark.parametrize("action", ["PutObject", "GetObject", "ListObjectsV2", "DeleteObjects"])
def test_a_server_that_redirects_is_named_with_what_to_change(
    redirecting: tuple[Storage, str], kind: type[StorageError], action: str, tmp_path: Path
) -> None:
    storage, endpoint = redirecting
    (tmp_path / "k").write_bytes(CONTENT)
    with pytest.raises(StorageError) as failed:
        every_action(storage, tmp_path / "k")[action]()
    assert type(failed.value) is kind
    assert str(failed.value).endswith(
        f". The server at {endpoint} redirects to another address. Set AWS_ENDPOINT_URL to the "
        "address of the S3 server itself, and AWS_DEFAULT_REGION to the region of the bucket"
    )
    assert SECRET.decode() not in str(failed.value)


# --- outages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (503, "ServiceUnavailable")]
)
def test_a_server_that_is_overloaded_for_a_moment_is_asked_again(
    storage: Storage, proxy: Proxy, tmp_path: Path, status: int, code: str
) -> None:
    proxy.answer(times(1, failure(status, code)))
    storage.upload(tmp_path / "k", "other")
    proxy.answer(times(1, failure(status, code)))
    assert b"".join(storage.read("other")) == CONTENT


def test_a_body_that_is_cut_is_never_taken_for_the_whole(
    storage: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.drop()
    proxy.cut(after_bytes=700)
    with pytest.raises(StorageError, match="k: "):
        b"".join(storage.read("k"))
    with pytest.raises(StorageError, match="k: "):
        storage.download("k", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    proxy.heal()
    storage.download("k", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT


# --- servers that do not answer ------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> float:
    """Shorten the time that an S3 server has to answer. Return the most that an action takes."""
    seconds = 1.0
    limit = Config(connect_timeout=seconds, read_timeout=seconds)
    monkeypatch.setattr(s3, "_CONFIG", s3._CONFIG.merge(limit))
    request = 3 * seconds + 1 + 2  # with the longest pauses between its tries
    return 5 * request + 5  # a download tries so often; the rest is for a busy machine


@pytest.mark.parametrize("action", ["PutObject", "GetObject", "ListObjectsV2", "DeleteObjects"])
def test_a_server_that_accepts_and_never_answers_is_an_outage(
    impatient: float, storage: Storage, proxy: Proxy, s3_url: str, tmp_path: Path, action: str
) -> None:
    proxy.freeze()
    started = time.monotonic()
    with pytest.raises(StorageError, match=f"failed at {s3_url}.*ReadTimeoutError") as failed:
        every_action(storage, tmp_path / "k")[action]()
    assert not isinstance(failed.value, StorageRefused)
    assert time.monotonic() - started < impatient


def test_a_server_that_falls_silent_in_the_middle_of_a_body_is_an_outage(
    impatient: float, storage: Storage, proxy: Proxy, s3_url: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    put(s3_url, "large", b"1" * 5_000_000)
    actions: list[Callable[[], Any]] = [
        lambda: b"".join(storage.read("large")),
        lambda: storage.download("large", copy),
    ]
    for action in actions:
        proxy.heal()
        proxy.throttle(bytes_per_second=2_000_000)
        Timer(0.5, proxy.freeze).start()
        started = time.monotonic()
        with pytest.raises(StorageError, match="large: "):
            action()
        assert 0.5 < time.monotonic() - started < impatient
    assert not copy.exists()


@pytest.mark.slow  # as long as a server may be silent
def test_a_silent_server_has_half_a_minute_and_one_that_accepts_no_connection_5_seconds(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = Config(retries={"mode": "standard", "total_max_attempts": 1})
    monkeypatch.setattr(s3, "_CONFIG", s3._CONFIG.merge(once))

    def seconds(endpoint: str) -> float:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        storage = open_storage(s3_url)
        started = time.monotonic()
        with pytest.raises(StorageError):
            list(storage.list(""))
        return time.monotonic() - started

    with ExitStack() as sockets:
        silent = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        full = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):  # no place is left for another connection
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        assert 30 <= seconds(f"http://127.0.0.1:{silent.getsockname()[1]}") < 40
        assert 5 <= seconds(f"http://127.0.0.1:{full.getsockname()[1]}") < 15


# --- answers that are not what was asked for -----------------------------------------------


def part(content: bytes, content_range: str) -> Answer:
    return Answer(206, content, (("Content-Range", f"bytes {content_range}/1024"),))


def test_a_download_has_bytes_of_one_version_though_the_file_is_replaced_meanwhile(
    storage: Storage, proxy: Proxy, tmp_path: Path
) -> None:
    large, copy = tmp_path / "large", tmp_path / "copy"
    for content in (b"1", b"2"):
        large.write_bytes(content * 20_000_000)  # in three parts
        storage.upload(large, content.decode())
    ranges = iter([None, lambda: storage.copy("2", "1")])

    def replace_before_the_second_part(method: str, target: str) -> None:
        if method == "GET" and target.endswith("/1") and (change := next(ranges, None)):
            change()

    proxy.answer(replace_before_the_second_part)
    with pytest.raises(FileNotFoundError, match="1"):
        storage.download("1", copy)
    assert not copy.exists()
    proxy.heal()
    storage.download("1", copy)
    assert copy.read_bytes() == large.read_bytes()


def test_a_version_that_was_replaced_is_not_downloaded(storage: Storage, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    (first,) = storage.list("k")
    storage.download("k", copy, version=first.version)
    assert copy.read_bytes() == CONTENT
    (tmp_path / "k").write_bytes(CONTENT[::-1])
    storage.upload(tmp_path / "k", "k")
    with pytest.raises(FileNotFoundError, match="k"):
        storage.download("k", copy, version=first.version)
    assert copy.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, CONTENT),
        part(CONTENT[100:105], "100-109"),
        part(CONTENT[100:105], "100-104"),
        part(CONTENT[:10], "0-9"),
    ],
    ids=["all of it", "half of it", "half of it and it says so", "another part"],
)
def test_bytes_that_were_not_asked_for_are_refused(
    storage: Storage, proxy: Proxy, answer: Answer
) -> None:
    proxy.answer(lambda _method, _target: answer)
    with pytest.raises(StorageError, match="k: asked for bytes=100-109, it sent other bytes"):
        storage.read("k", 100, 110)


def test_all_of_a_file_may_come_without_a_range(storage: Storage, proxy: Proxy) -> None:
    proxy.answer(lambda _method, _target: Answer(200, CONTENT))
    assert b"".join(storage.read("k")) == b"".join(storage.read("k", 0, len(CONTENT))) == CONTENT


@pytest.mark.parametrize("code", ["MissingContentMD5", "NotImplemented"])
def test_a_server_that_cannot_delete_many_files_at_once_deletes_one_by_one(
    storage: Storage, proxy: Proxy, code: str
) -> None:
    proxy.answer(lambda method, _target: failure(400, code) if method == "POST" else None)
    storage.delete("")
    assert list(storage.list("")) == []


# --- addresses -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["exp#1", "exp?v=2", "my%20run", "a b"])
def test_an_address_is_read_as_it_is_written(s3_url: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    open_storage(f"{s3_url}/{name}").upload(tmp_path / "file", "final/a")
    assert [file.key for file in open_storage(s3_url).list("")] == [f"{name}/final/a"]
