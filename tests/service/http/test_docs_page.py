"""`/docs` needs no internet: all that the page loads comes from the server."""

import re

import httpx
import pytest


@pytest.fixture
def page(http: httpx.Client) -> httpx.Response:
    return http.get("/docs")


@pytest.mark.slow
def test_all_that_the_page_loads_is_on_the_server(http: httpx.Client, page: httpx.Response) -> None:
    links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(links) == 5
    for link in links:
        assert "//" not in link
        answer = http.get(f"/{link}")  # as a browser resolves it at /docs
        assert answer.status_code == 200, link
        assert len(answer.content) > 100, link


def test_the_page_shows_the_description_of_this_server(http: httpx.Client) -> None:
    start = http.get("/docs/start.js")
    assert 'url: "openapi.json"' in start.text
    assert "http" not in start.text


def test_the_browser_is_told_to_load_from_nowhere_else(page: httpx.Response) -> None:
    policy = dict(
        rule.split(" ", 1) for rule in page.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    sources = {source for rule in policy.values() for source in rule.split()}
    assert sources == {"'none'", "'self'", "'unsafe-inline'", "data:"}


def test_no_page_that_loads_from_elsewhere_is_left(http: httpx.Client) -> None:
    assert http.get("/redoc").status_code == 404
