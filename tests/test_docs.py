"""The docs say what is true: their commands, links, routes, settings and events exist."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.core import TyperGroup
from typer.main import get_group

from jobs.schemas.events import AnyJobEvent
from jobs.schemas.metric_names import METRICS
from jobs.schemas.metrics import MarkerKind
from jobs.settings import Settings
from relora_core.events import Event
from service.cli import app as command_line
from service.http.errors import HTTP_CODES
from service.http.openapi import EXAMPLES
from tests.faults.kinds import KINDS
from tests.service.error_classes import ANSWERED

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
OPERATIONS = ROOT / "docs/operations.md"
EVENTS = ROOT / "docs/events.md"
STORAGE = ROOT / "jobs/storage/s3.py"
# What AWS asks permission for, by the call of boto3.
S3_PERMISSIONS = {
    "abort_multipart_upload": {"AbortMultipartUpload"},
    "copy": {"GetObject", "PutObject", "AbortMultipartUpload"},
    "delete_object": {"DeleteObject"},
    "delete_objects": {"DeleteObject"},
    "generate_presigned_url": {"GetObject"},
    "get_object": {"GetObject"},
    "list_multipart_uploads": {"ListBucketMultipartUploads"},
    "list_objects_v2": {"ListBucket"},
    "list_parts": {"ListMultipartUploadParts"},
    "put_object": {"PutObject"},
    "upload_file": {"PutObject", "AbortMultipartUpload"},
}
OF_THE_CLIENTS = {"RELORA_URL", "RELORA_API_KEY"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def shell_lines(page: Path) -> list[str]:
    """The lines of the page's shell examples, continued ones joined."""
    blocks = re.findall(r"^ *```(?:sh|bash|console)\n(.*?)^ *```", page.read_text(), re.M | re.S)
    return [line.strip() for b in blocks for line in re.sub(r"\\\n", " ", b).splitlines()]


def all_sections(text: str) -> dict[str, str]:
    """The text below each heading."""
    parts = re.split(r"^#{2,3} (.*)$", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def sections(text: str) -> dict[str, str]:
    """The text below each heading that is a name in backticks."""
    titled = all_sections(text).items()
    return {title.strip("`"): body for title, body in titled if title.startswith("`")}


@each_page
def test_a_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    written = re.findall(r"`make ([a-z-]+)", page.read_text())
    for line in shell_lines(page):
        written += re.findall(r"^make ([\w-]+)", line)
    assert set(written) <= targets


@each_page
def test_a_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    files = [link for link in links if not link.startswith(("http://", "https://"))]
    assert [link for link in files if not (page.parent / link).exists()] == []


@each_page
def test_a_numbered_list_counts_up(page: Path) -> None:
    last = 0
    for line in page.read_text().splitlines():
        if number := re.match(r"(\d+)\. ", line):
            assert int(number[1]) == last + 1, line
            last += 1
        elif line and not line.startswith(" "):  # no part of the list
            last = 0


@each_page
def test_a_command_of_relora_exists(page: Path) -> None:
    for line in shell_lines(page):
        if words := re.findall(r"^(?:\S*/)?relora ((?:[a-z]+ ?)+)", line):
            command: object = get_group(command_line)
            for word in words[0].split():
                if isinstance(command, TyperGroup):
                    assert word in command.commands, line
                    command = command.commands[word]


@pytest.fixture(scope="module")
def routes(openapi: dict[str, Any]) -> dict[str, set[str]]:
    """The methods that each path of the API knows."""
    return {path: {method.upper() for method in item} for path, item in openapi["paths"].items()}


@each_page
def test_a_curl_example_asks_a_route_that_exists(page: Path, routes: dict[str, set[str]]) -> None:
    for line in shell_lines(page):
        asked = re.search(r"(?:https?://[^/\s'\"]+|\$URL)(/[^\s'\"?]*)", line)
        if not line.startswith("curl") or not asked:
            continue
        method = re.search(r"(?:-X|--request) (\w+)", line)
        posts = re.search(r"(?:^| )(?:-d|--data\S*|--json)\b", line)
        unnamed = "POST" if posts else "GET"  # `curl -I` asks HEAD, which every GET answers
        expected = method[1] if method else unnamed
        known = [methods for path, methods in routes.items() if matches(path, asked[1])]
        assert any(expected in methods for methods in known), line


def matches(template: str, path: str) -> bool:
    pattern = re.sub(r"\\\{path(:path)?\\\}", ".+", re.escape(template))
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern), path) is not None


def test_every_setting_is_described_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(RELORA_\w+)` \| (.*?) \|", OPERATIONS.read_text(), re.M))
    assert rows.keys() == {f"RELORA_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if not field.default_factory and not field.is_required():
            assert f"`{field.default}`" in rows[f"RELORA_{name.upper()}"]


@each_page
def test_a_variable_that_is_named_is_a_setting(page: Path) -> None:
    known = {f"RELORA_{name.upper()}" for name in Settings.model_fields} | OF_THE_CLIENTS
    assert set(re.findall(r"RELORA_[A-Z_]+", page.read_text())) <= known


def test_every_event_is_described_with_its_fields() -> None:
    text = EVENTS.read_text()
    described = {
        name: set(re.findall(r"^\| `(\w+)` \|", body, re.M))
        for name, body in sections(text).items()
    }
    assert described == {
        event.model_fields["type"].default: event.model_fields.keys()
        - Event.model_fields.keys()
        - {"type"}
        for event in get_args(AnyJobEvent)
    }
    common = text.partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", common, re.M)) == Event.model_fields.keys() | {"type"}


def test_every_error_code_of_the_api_is_described_with_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|", (ROOT / "docs/api.md").read_text(), re.M)
    described = {(int(status), code) for status, codes in rows for code in codes.split(", ")}
    assert described == {
        *((error.http_status, f"`{error.code}`") for error in ANSWERED),
        *((status, f"`{code}`") for status, code in HTTP_CODES.items()),
        *((status, f"`{code}`") for status, (code, _) in EXAMPLES.items()),
    }


def test_every_metric_and_every_marker_is_described() -> None:
    described = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/metrics.md").read_text(), re.M)
    assert described == [*METRICS, *MarkerKind]


def test_every_fault_of_the_released_code_has_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", (ROOT / "docs/faults.md").read_text(), re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 31))
    for number, held_by in rows:
        assert_tests_exist(held_by, number)


def test_the_docs_ask_for_the_s3_permissions_that_the_storage_uses_and_no_others() -> None:
    pattern = r"_client\.(?:get_paginator\(\"(\w+)\"|(?!get_paginator)(\w+)\()"
    calls = {either or other for either, other in re.findall(pattern, STORAGE.read_text())}
    needed = set().union(*(S3_PERMISSIONS[call] for call in calls))
    section = all_sections((ROOT / "docs/deploy.md").read_text())["S3 permissions"]
    (policy,) = re.findall(r"^```json\n(.*?)^```", section, re.M | re.S)
    asked = [action for each in json.loads(policy)["Statement"] for action in each["Action"]]
    assert sorted(asked) == sorted(f"s3:{action}" for action in needed)


def test_every_promise_of_reliability_has_a_test_that_exists() -> None:
    text = (ROOT / "docs/reliability.md").read_text()
    rows = re.findall(r"^\| (?!promise|---)(.*) \| .* \| (.*) \|$", text, re.M)
    assert len(rows) > 20
    for promise, held_by in rows:
        assert_tests_exist(held_by, promise)


def test_each_fault_of_the_soak_has_a_test_that_injects_it_alone() -> None:
    text = all_sections((ROOT / "docs/reliability.md").read_text())["The faults of `make soak`"]
    rows = dict(re.findall(r"^\| (?!fault|---)(.*?) \| (.*) \|$", text, re.M))
    assert list(rows) == list(KINDS)
    for fault, held_by in rows.items():
        assert_tests_exist(held_by, fault)


def test_the_newest_release_of_the_changelog_is_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    sections = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", sections[1])


def assert_tests_exist(held_by: str, what: str) -> None:
    """`held_by` names at least one test or file of tests, and only some that there are."""
    named = set(re.findall(r"`(test_\w+(?:\.py)?)`", held_by))
    assert named, what
    assert named <= known_tests(), (what, named - known_tests())


@cache
def known_tests() -> set[str]:
    files = list((ROOT / "tests").rglob("test_*.py"))
    return {file.name for file in files} | {
        name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)
    }
