from pathlib import Path
from typing import Any

import pytest

from jobs.schemas.job import JobSpec
from jobs.trainable import file_problems, model_problems


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


def test_brackets_in_the_name_of_a_folder_make_no_pattern(spec: JobSpec, tmp_path: Path) -> None:
    folder = tmp_path / "data [2024]"
    folder.mkdir()
    (folder / "there.jsonl").write_text("")
    document = spec.model_dump(mode="json")
    document["data"]["train"]["uri"] = [
        f"{folder}/{name}" for name in ("there.jsonl", "the*.jsonl", "missing.jsonl")
    ]

    (problem,) = file_problems(JobSpec.model_validate(document))

    assert problem.path == "data.train.uri.2"
    assert problem.message == f"there is no file '{folder}/missing.jsonl'"


def test_a_pattern_that_matches_nothing_in_its_folder_is_a_problem(
    spec: JobSpec, tmp_path: Path
) -> None:
    (tmp_path / "part-1.jsonl").write_text("")
    document = spec.model_dump(mode="json")
    document["data"]["train"]["uri"] = [
        f"{tmp_path}/part-*.jsonl",
        f"{tmp_path}/**",
        f"file://{tmp_path}/%70art-?.jsonl",
        f"{tmp_path}/of-the-worker/*.jsonl",
        f"{tmp_path}/*/*.jsonl",
        f"{tmp_path}/text-*.jsonl",
    ]

    [problem] = file_problems(JobSpec.model_validate(document))

    assert problem.path == "data.train.uri.5"
    assert problem.message == f"no file matches '{tmp_path}/text-*.jsonl'"


def test_a_missing_model_tokenizer_or_folder_of_images_is_a_problem(
    spec: JobSpec, tmp_path: Path
) -> None:
    def problems(name: str) -> list[tuple[str, str]]:
        text = {
            "model": {"pretrained": name, "init": "random"},
            "tokenizer": {"pretrained": name},
            "method": {"name": "relora", "warm_start_from": name, "reset_every": 10},
        }
        images = {
            "task": "image_classification",
            "model": {"preset": "vit_tiny"},
            "data": {"train": {"uri": name}},
        }
        document = spec.model_dump(mode="json", exclude_unset=True)
        return [
            (problem.path, problem.message)
            for changes in (text, images)
            for problem in file_problems(JobSpec.model_validate({**document, **changes}))
        ]

    missing = f"there is no file or folder '{tmp_path}/missing'"
    fields = ("model.pretrained", "tokenizer.pretrained", "method.warm_start_from")
    for name in (f"{tmp_path}/missing", f"file://{tmp_path}/missin%67"):
        assert problems(name) == [(field, missing) for field in (*fields, "data.train.uri")]
    assert problems(str(tmp_path)) == []
    assert problems(f"{tmp_path}/of-the-worker/model") == []


def test_a_folder_that_no_dataset_was_saved_in_is_a_problem(spec: JobSpec, tmp_path: Path) -> None:
    document = spec.model_dump(mode="json")
    document["data"]["train"]["uri"] = str(tmp_path)
    [problem] = file_problems(JobSpec.model_validate(document))
    assert problem.path == "data.train.uri"
    assert problem.message.startswith(f"{str(tmp_path)!r} is a folder; name its files")
    (tmp_path / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
    assert not list(file_problems(JobSpec.model_validate(document)))


TINY = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        (
            {"model": {"config": {**TINY, "num_attention_heads": 5}}},
            "model.config",
            "gives no shape: hidden_size 32 does not divide over num_attention_heads 5",
        ),
        (
            {"model": {"config": {**TINY, "hiden_size": 32}}},
            "model.config",
            "llama has no field `hiden_size`; did you mean `hidden_size`?",
        ),
        (
            {"method": {"name": "relora", "rank": 4, "target_modules": ["query"]}},
            "method.target_modules",
            "['query'] matches no linear layer of the model; take all_linear, or some of",
        ),
    ],
)
def test_a_field_is_named_once(
    spec: JobSpec, changes: dict[str, Any], path: str, message: str
) -> None:
    document = {**spec.model_dump(mode="json"), **changes}
    [problem] = model_problems(JobSpec.model_validate(document))
    assert problem.path == path
    assert problem.message.startswith(message)
