from pathlib import Path

from jobs.models import JobSpec
from jobs.trainable import file_problems


def test_each_place_of_a_list_is_looked_at(spec: JobSpec, tmp_path: Path) -> None:
    (tmp_path / "there.jsonl").write_text("")
    uris = [f"{tmp_path}/there.jsonl", f"{tmp_path}/missing.jsonl", f"{tmp_path}/there.pdf"]
    document = spec.model_dump(mode="json")
    document["data"]["train"]["uri"] = uris

    problems = list(file_problems(JobSpec.model_validate(document)))

    assert [problem.path for problem in problems] == ["data.train.uri.1", "data.train.uri.2"]
    assert "there is no file" in problems[0].message
    assert "known formats" in problems[1].message


def test_the_escapes_of_a_uri_are_read(spec: JobSpec, tmp_path: Path) -> None:
    (tmp_path / "a b.jsonl").write_text("")
    document = spec.model_dump(mode="json")
    document["data"]["train"]["uri"] = [
        f"file://{tmp_path}/{name}.jsonl" for name in ("a%20b", "b%20a")
    ]

    (problem,) = file_problems(JobSpec.model_validate(document))

    assert problem.path == "data.train.uri.1"
    assert problem.message == f"there is no file '{tmp_path}/b a.jsonl'"
