"""The page of the dashboard: its addresses, headers and files, and what is there without it."""

import gzip
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from service.http.dashboard import FOLDER, NOT_BUILT, PATHS, add_dashboard
from tests.fixtures.tiers import missing

ROOT = Path(__file__).parents[3]
MOST_BYTES = 200_000  # of a first visit, as transferred
DOCUMENT = """<!doctype html>
<link rel="stylesheet" href="./assets/index-1.css">
<script type="module" src="./assets/index-2.js"></script>
"""


def client_of(folder: Path) -> TestClient:
    app = FastAPI()
    add_dashboard(app, folder)
    return TestClient(app)


@pytest.fixture
def built(tmp_path: Path) -> TestClient:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(DOCUMENT)
    (tmp_path / "assets/index-1.css").write_text("body { margin: 0 }")
    (tmp_path / "assets/index-2.js").write_text("start()" * 100)
    return client_of(tmp_path)


@pytest.mark.parametrize("template", PATHS)
def test_the_page_finds_its_files_from_each_of_its_addresses(
    built: TestClient, template: str
) -> None:
    path = template.replace("{job_id}", "job_1")
    page = built.get(path)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(links) == 2
    for link in links:
        assert not link.startswith("/")  # a proxy may add a path
        assert built.get(urljoin(path, link)).status_code == 200


def test_a_view_of_the_script_has_an_address_on_the_server() -> None:
    views = re.findall(r'case "([\w-]+)":', (ROOT / "dashboard/src/app.tsx").read_text())
    assert set(views) == {path.split("/")[1] for path in PATHS} - {""}


def test_the_page_may_run_and_load_only_what_the_server_has(built: TestClient) -> None:
    policy = built.get("/").headers["Content-Security-Policy"]
    sources = {source for rule in policy.split("; ") for source in rule.split()[1:]}
    assert sources == {"'none'", "'self'"}
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "frame-ancestors 'none'" in policy
    for path in ("/", "/assets/index-2.js"):
        assert built.get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_is_kept_forever_and_the_page_is_asked_for_again(built: TestClient) -> None:
    assert built.get("/").headers["Cache-Control"] == "no-cache"
    kept = built.get("/assets/index-2.js")
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert kept.headers["Content-Type"].startswith("text/javascript")


def test_a_file_comes_compressed_to_those_who_can_read_it(built: TestClient) -> None:
    def length(encoding: str) -> int:
        answer = built.get("/assets/index-2.js", headers={"Accept-Encoding": encoding})
        assert answer.text == "start()" * 100
        assert answer.headers["Vary"] == "Accept-Encoding"
        return int(answer.headers["Content-Length"])

    assert length("identity") == 700
    assert length("br, gzip") < 100


@pytest.mark.parametrize("name", ["nothing.js", "..%2Findex.html", "%2e%2e%2findex.html"])
def test_there_is_no_other_file(built: TestClient, name: str) -> None:
    assert built.get(f"/assets/{name}").status_code == 404


def test_a_server_without_the_page_says_how_to_build_it(tmp_path: Path) -> None:
    page = client_of(tmp_path).get("/")
    assert page.status_code == 200
    assert "make dashboard" in page.text


def test_the_page_that_says_so_links_only_to_what_is_there(http: httpx.Client) -> None:
    links = re.findall(r'href="([^"]*)"', NOT_BUILT)
    assert set(links) == {"docs", "readyz"}
    assert all(http.get(f"/{link}").status_code in {200, 503} for link in links)


def test_a_first_visit_loads_little() -> None:
    page = FOLDER / "index.html"
    if not page.exists():
        missing("the dashboard was not built: make dashboard")
    files = [page, *(FOLDER / "assets").iterdir()]
    sizes = {file.name: len(gzip.compress(file.read_bytes())) for file in files}
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_the_lock_file_names_no_address_of_a_package() -> None:
    lock = json.loads((ROOT / "dashboard/package-lock.json").read_text())
    packages = {name: one for name, one in lock["packages"].items() if name}
    assert all("integrity" in one for one in packages.values())
    assert [name for name, one in packages.items() if "resolved" in one] == []
