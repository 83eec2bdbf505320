"""What a JSON body may hold, whatever the request is."""

import json
from typing import Any

import httpx
import pytest

from jobs.models import Job
from service.json_body import MAX_DEPTH, BodyRefused, read_document


def problems(body: str) -> list[tuple[str, str]]:
    with pytest.raises(BodyRefused) as refused:
        read_document(body.encode())
    return [(problem.path, problem.message) for problem in refused.value.problems]


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_a_document_is_read_as_it_is() -> None:
    document = {"a": [1, -2.5, 1e-9, None, True, "é😀", 2**64 - 1], "b": {"c": {}}}
    assert read_document(json.dumps(document).encode()) == document
    assert read_document(json.dumps(document, ensure_ascii=False).encode("utf-8-sig")) == document
    assert read_document(nested(MAX_DEPTH).encode()) == json.loads(nested(MAX_DEPTH))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "9" * 5000])
def test_a_number_that_is_not_finite_is_refused(number: str) -> None:
    expected = [("a.1", "must be a finite number, and not too large")]
    assert problems(f'{{"a": [0, {number}]}}') == expected


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300])
def test_a_whole_number_of_more_than_64_bits_is_refused(number: int) -> None:
    assert problems(f'{{"a": {number}}}') == [("a", "is a whole number of more than 64 bits")]


def test_half_of_a_surrogate_pair_is_refused_as_a_value_and_as_a_name() -> None:
    ((path, message),) = problems(r'{"a": {"b": "x\ud83d"}}')
    assert (path, message) == ("a.b", "is not valid Unicode: it has half of a surrogate pair")
    ((path, message),) = problems(r'{"a": {"\ud83d": 1}}')
    assert path == "a.\ud83d"
    assert message.startswith("is a name that is not valid Unicode")


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300, 900, 100_000])
def test_a_document_that_is_nested_too_deep_is_refused(levels: int) -> None:
    ((_, message),) = problems(nested(levels))
    assert message == f"is nested more than {MAX_DEPTH} levels deep"


def test_of_many_problems_the_first_are_told() -> None:
    assert len(problems(json.dumps([2**64] * 10_000))) == 20


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
