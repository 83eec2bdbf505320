"""What a JSON body may hold, whatever the request is."""

import asyncio
import gc
import json
import time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from jobs.backends import Backends
from jobs.schemas.job import Job
from relora_core.spec.written import MAX_DEPTH
from service.app import MAX_BODY_BYTES, create_app
from service.auth.key_policy import KeyPolicy
from service.http.json_body import BodyRefused, read_document


def refusal(body: str) -> tuple[str, str]:
    with pytest.raises(BodyRefused) as refused:
        read_document(body.encode())
    return refused.value.problem.path, refused.value.problem.message


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_a_document_is_read_as_it_is() -> None:
    document = {"a": [1, -2.5, 1e-9, None, True, "é😀", 2**63 - 1], "b": {"c": {}}}
    assert read_document(json.dumps(document).encode()) == document
    assert read_document(json.dumps(document, ensure_ascii=False).encode("utf-8-sig")) == document
    assert read_document(nested(MAX_DEPTH).encode()) == json.loads(nested(MAX_DEPTH))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    assert refusal(f'{{"a": [0, {number}]}}') == ("a.1", "must be a finite number")


@pytest.mark.parametrize(
    ("number", "bound"),
    [
        (str(2**63), "at most 9223372036854775807"),
        ("9" * 5000, "at most 9223372036854775807"),
        (str(-(2**63)), "at least -9223372036854775807"),
    ],
    ids=["large", "of 5,000 digits", "small"],
)
def test_a_whole_number_of_more_than_63_bits_is_refused(number: str, bound: str) -> None:
    assert refusal(f'{{"a": {number}}}') == ("a", f"must be {bound}")


def test_half_of_a_surrogate_pair_is_refused_as_a_value_and_as_a_name() -> None:
    message = "must be valid Unicode text: it holds half of a surrogate pair"
    assert refusal(r'{"a": {"b": "x\ud83d"}}') == ("a.b", message)
    assert refusal(r'{"a": {"\ud83d": 1}}') == (r"a.\ud83d", message)


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300, 900, 100_000])
def test_a_document_that_is_nested_too_deep_is_refused(levels: int) -> None:
    assert refusal(nested(levels))[1] == f"must be at most {MAX_DEPTH} levels deep"


def test_bytes_that_are_not_utf_8_are_no_json() -> None:
    with pytest.raises(json.JSONDecodeError, match="not UTF-8"):
        read_document(b'{"a": "\xff"}')


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate", "/v1/sweeps", "/v1/projects"])
def test_a_name_that_no_answer_could_hold_is_refused_and_shown_escaped(
    http: httpx.Client, path: str
) -> None:
    headers = {"Content-Type": "application/json"}
    response = http.post(path, content=rb'{"\ud83d": 1}', headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert [item["path"] for item in response.json()["errors"]] == [r"\ud83d"]


@pytest.mark.parametrize(
    "value", [r'"\ud83d"', "1e999", str(10**400), nested(300)], ids=["text", "float", "int", "deep"]
)
def test_a_value_that_cannot_be_stored_is_refused_wherever_a_spec_is_sent(
    http: httpx.Client, job: Job, document: dict[str, Any], value: str
) -> None:
    document["model"] = {"config": {"model_type": "llama", "note": "NOTE"}}
    spec = json.dumps(document)
    bodies = {
        "/v1/jobs": spec,
        "/v1/jobs/estimate": spec,
        f"/v1/jobs/{job.id}/fork": json.dumps({"changes": {"model": document["model"]}}),
        "/v1/sweeps": json.dumps({"base": document, "grid": {"seed": [1]}}),
    }
    for path, body in bodies.items():
        content = body.replace('"NOTE"', value)
        response = http.post(path, content=content, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_request"), path
        assert "model.config.note" in response.json()["errors"][0]["path"]
    assert http.get("/v1/jobs").json()["items"][0]["id"] == job.id


async def longest_turn(client: httpx.AsyncClient, method: str, path: str, body: str) -> float:
    """How long the event loop is at one thing while it answers, in seconds of the processor, so
    that it does not matter what else runs on the machine.
    """
    headers = {"Content-Type": "application/json"}
    sent = asyncio.create_task(client.request(method, path, content=body, headers=headers))
    longest, last = 0.0, time.thread_time()
    while not sent.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.thread_time() - last), time.thread_time()
    assert (await sent).status_code in {413, 422}, path
    return longest


def with_body(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method, path)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]


MANY = range(MAX_BODY_BYTES // 16)
HOSTILE = {
    "many unknown fields": json.dumps({f"k{number}": 1 for number in MANY}),
    "as many unknown fields as a body may have": json.dumps({str(n): 1 for n in range(6000)}),
    "many deep lists": json.dumps({"base": [json.loads(nested(20))] * 8000}),
}


@pytest.mark.slow
def test_no_body_holds_up_the_event_loop_at_any_path(backends: Backends, job: Job) -> None:
    app = create_app(backends, KeyPolicy.IGNORED)
    paths = [(method, path.replace("{job_id}", job.id)) for method, path in with_body(app)]
    assert len(paths) > 8

    async def measure() -> dict[tuple[str, str], float]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return {
                (path, name): await longest_turn(client, method, path, body)
                for method, path in paths
                for name, body in HOSTILE.items()
            }

    gc.freeze()  # as the server does
    seconds = asyncio.run(measure())
    gc.unfreeze()
    assert {case: turn for case, turn in seconds.items() if turn > 0.1} == {}
