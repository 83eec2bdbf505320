"""Where jobs may write and read."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.locations.rules import Locations
from jobs.schemas.job import JobSpec
from jobs.settings import Settings

FOREIGN = "jobs/job_of_another"


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(data_dir=tmp_path / "data", **values)


def spec_with(spec: JobSpec, **parts: Any) -> JobSpec:
    return JobSpec.model_validate({**spec.model_dump(mode="json"), **parts})


def problems(spec: JobSpec, rules: Locations) -> list[str]:
    return [problem.path for problem in rules.problems(spec)]


def near_the_storage(tmp_path: Path, uri: str) -> str:
    """Make a data folder and a symbolic link to its storage; fill in their paths in `uri`."""
    (tmp_path / "data/storage").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data/storage")
    return uri.format(data=tmp_path / "data", link=tmp_path / "link")


def in_folder(tmp_path: Path, storage_url: str) -> Locations:
    return Locations.of(settings(tmp_path, storage_url=storage_url))


@pytest.mark.parametrize(
    "output",
    [
        "file://{data}/storage/jobs/job_of_another",
        "file://{data}/storage",
        "file://{data}/storage/new",
        "file://{data}/scratch/elsewhere",
        "file:///{data}//storage/./jobs",
        "file://{data}/x/../storage/jobs/job_of_another",
        "file://{data}/stor%61ge/jobs/job_of_another",
        "file://{data}/storage/jobs/job_of_another?x=1",
        "file://{link}/jobs/job_of_another",
        "file://{data}/../x*/../data/storage",
        "file://{data}/../link/new",
    ],
)
def test_no_job_writes_into_the_folders_of_the_service(
    spec: JobSpec, tmp_path: Path, output: str
) -> None:
    uri = near_the_storage(tmp_path, output)
    rules = Locations.of(settings(tmp_path))
    (problem,) = rules.problems(spec_with(spec, output={"uri": uri}))
    assert problem.path == "output.uri"
    assert "inside of the service's own storage" in problem.message


@pytest.mark.parametrize(
    ("output", "refused"),
    [
        ("s3://bucket/relora/jobs/job_of_another", True),
        ("s3://bucket//relora/./jobs", True),
        ("s3://bucket/x/../relora/jobs", True),
        ("s3://bucket/relora", True),
        ("s3://bucket/relora-models", False),
        ("s3://bucket", False),
        ("s3://another/relora/jobs", False),
    ],
)
def test_no_job_writes_into_the_services_bucket(
    spec: JobSpec, tmp_path: Path, output: str, *, refused: bool
) -> None:
    rules = in_folder(tmp_path, "s3://bucket/relora")
    found = problems(spec_with(spec, output={"uri": output}), rules)
    assert found == (["output.uri"] if refused else [])


def test_no_job_writes_where_the_service_is_a_part_of_its_output(
    spec: JobSpec, tmp_path: Path
) -> None:
    rules = in_folder(tmp_path, "s3://bucket/final/relora")
    assert problems(spec_with(spec, output={"uri": "s3://bucket"}), rules) == ["output.uri"]


@pytest.mark.parametrize(
    "uri",
    [
        "file://{data}/storage/jobs/job_of_another/final/*.parquet",
        "{data}/storage/uploads/*",
        "{data}/*/jobs/**/*.jsonl",
        "{data}/../**/*.jsonl",
        "{data}/../[d]ata/storage/jobs/x.txt",
        "{data}/../x*/../data/storage/jobs/x.txt",
        "{link}/jobs/x.txt",
        "hf://{link}/jobs",
    ],
)
def test_no_data_is_read_out_of_the_folders_of_the_service(
    spec: JobSpec, tmp_path: Path, uri: str
) -> None:
    named = near_the_storage(tmp_path, uri)
    rules = Locations.of(settings(tmp_path))
    for split in ("train", "validation"):
        data = {"train": {"uri": "hf://Salesforce/wikitext"}, split: {"uri": named}}
        assert problems(spec_with(spec, data=data), rules) == [f"data.{split}.uri"]


@pytest.mark.parametrize(
    ("uri", "refused"),
    [
        ("s3://bucket/relora/jobs/*/final/*.parquet", True),
        ("s3://bucket/r*/jobs/x.txt", True),
        ("s3://bucket/*/*.jsonl", True),
        ("s3://bucket/corpus/*.jsonl", False),
        ("s3://corpus/relora/*.jsonl", False),
    ],
)
def test_no_data_is_read_out_of_the_services_bucket(
    spec: JobSpec, tmp_path: Path, uri: str, *, refused: bool
) -> None:
    rules = in_folder(tmp_path, "s3://bucket/relora")
    found = problems(spec_with(spec, data={"train": {"uri": uri}}), rules)
    assert found == (["data.train.uri"] if refused else [])


def test_no_model_is_read_out_of_the_folders_of_the_service(spec: JobSpec, tmp_path: Path) -> None:
    (tmp_path / "data/storage").mkdir(parents=True)
    folder = f"{tmp_path}/data/storage/{FOREIGN}/final"
    named = spec_with(
        spec,
        model={"pretrained": folder, "init": "random"},
        tokenizer={"pretrained": folder},
        method={"name": "relora", "warm_start_from": f"file://{folder}", "reset_every": 10},
    )
    found = list(Locations.of(settings(tmp_path)).problems(named))
    assert [problem.path for problem in found] == [
        "model.pretrained",
        "tokenizer.pretrained",
        "method.warm_start_from",
    ]
    assert "job://JOB_ID/final" in found[0].message


def test_a_name_on_the_hub_is_no_folder_even_where_there_is_one(
    spec: JobSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org/model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    named = spec_with(spec, model={"pretrained": "org/model"}, tokenizer={"pretrained": "t5-base"})
    remote = spec_with(named, data={"train": {"uri": "hf://org/model"}})
    assert problems(remote, Locations.of(settings(tmp_path), with_keys=True)) == []


@pytest.mark.parametrize("path", ["corpus/*.txt", "./x.txt", "../x.txt", "~/x.txt"])
@pytest.mark.parametrize("with_keys", [True, False])
def test_no_path_is_relative_to_a_folder_of_the_service(
    spec: JobSpec, tmp_path: Path, path: str, *, with_keys: bool
) -> None:
    rules = Locations.of(settings(tmp_path), with_keys=with_keys)
    (problem,) = rules.problems(spec_with(spec, data={"train": {"uri": path}}))
    assert problem.path == "data.train.uri"
    assert "is neither on the Hub nor an absolute path" in problem.message
    folder = f"./{path}"
    named = spec_with(
        spec,
        data={"train": {"uri": "hf://Salesforce/wikitext"}},
        model={"pretrained": folder, "init": "random"},
        tokenizer={"pretrained": folder},
        method={"name": "relora", "warm_start_from": folder, "reset_every": 10},
    )
    assert problems(named, rules) == [
        "model.pretrained",
        "tokenizer.pretrained",
        "method.warm_start_from",
    ]


def test_the_name_of_a_file_format_is_no_dataset(spec: JobSpec, tmp_path: Path) -> None:
    """With such a name, `datasets` would read the files in its working directory."""
    document = spec.model_dump(mode="json") | {"data": {"train": {"uri": "hf://json?split=train"}}}
    with pytest.raises(ValidationError, match="write hf://OWNER/NAME"):
        JobSpec.model_validate(document)
    stored = JobSpec.accepted(document)
    for with_keys in (True, False):
        rules = Locations.of(settings(tmp_path), with_keys=with_keys)
        assert problems(stored, rules) == ["data.train.uri"]


def test_without_keys_a_job_may_use_the_other_folders_of_the_machine(
    spec: JobSpec, tmp_path: Path
) -> None:
    named = spec_with(spec, output={"uri": f"file://{tmp_path}/models"})
    assert problems(named, Locations.of(settings(tmp_path))) == []


def test_with_keys_a_job_uses_no_folder_that_is_not_allowed(spec: JobSpec, tmp_path: Path) -> None:
    named = spec_with(spec, output={"uri": f"file://{tmp_path}/models"})
    found = list(Locations.of(settings(tmp_path), with_keys=True).problems(named))
    assert [problem.path for problem in found] == ["output.uri", "data.train.uri"]
    assert "RELORA_ALLOWED_OUTPUTS" in found[0].message
    assert "RELORA_ALLOWED_SOURCES" in found[1].message
    assert "upload" in found[1].message
    assert problems(named, Locations.of(settings(tmp_path, authentication="required"))) != []


def test_with_keys_a_job_reaches_buckets_with_credentials_of_its_own_alone(
    spec: JobSpec, tmp_path: Path
) -> None:
    places: dict[str, Any] = {
        "output": {"uri": "s3://models/run"},
        "data": {"train": {"uri": "s3://corpus/*.txt"}},
    }
    own = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
    rules = Locations.of(settings(tmp_path), with_keys=True)
    found = list(rules.problems(spec_with(spec, **places)))
    assert [problem.path for problem in found] == ["output.uri", "data.train.uri"]
    assert "AWS_ACCESS_KEY_ID" in found[0].message
    assert "RELORA_ALLOWED_SOURCES" in found[1].message
    assert problems(spec_with(spec, **places, secrets=own), rules) == []
    assert problems(spec_with(spec, **places), Locations.of(settings(tmp_path))) == []


def tracked(spec: JobSpec, uri: str) -> JobSpec:
    return spec_with(
        spec,
        data={"train": {"uri": "hf://Salesforce/wikitext"}},
        trackers=[{"name": "tensorboard"}, {"name": "mlflow", "uri": uri}],
    )


@pytest.mark.parametrize(
    ("uri", "allowed", "refused"),
    [
        ("http://127.0.0.1:5000", "", True),
        ("http://169.254.169.254/latest/meta-data", "", True),
        ("http://[::1]:5000", "", True),
        ("https://8.8.8.8", "", False),
        ("https://8.8.8.8", "mlflow.example.com", True),
        ("https://mlflow.example.com:5000/path", "mlflow.example.com", False),
        ("http://10.0.0.5:5000", "mlflow.example.com, 10.0.0.5:5000", False),
        ("http://10.0.0.5:22", "10.0.0.5:5000", True),
    ],
)
def test_with_keys_curves_go_to_public_servers_or_to_those_that_are_allowed(
    spec: JobSpec, tmp_path: Path, uri: str, allowed: str, *, refused: bool
) -> None:
    rules = Locations.of(settings(tmp_path, allowed_trackers=allowed), with_keys=True)
    assert problems(tracked(spec, uri), rules) == (["trackers.1.uri"] if refused else [])
    assert rules.only_public_trackers == (not allowed)


def test_without_keys_curves_go_to_any_server(spec: JobSpec, tmp_path: Path) -> None:
    rules = Locations.of(settings(tmp_path))
    assert problems(tracked(spec, "http://127.0.0.1:5000"), rules) == []
    assert not rules.only_public_trackers


@pytest.mark.parametrize("with_keys", [True, False])
def test_a_tracker_writes_no_file_where_an_output_may_not_be(
    spec: JobSpec, tmp_path: Path, *, with_keys: bool
) -> None:
    rules = Locations.of(settings(tmp_path), with_keys=with_keys)
    allowed = Locations.of(
        settings(tmp_path, allowed_outputs=f"{tmp_path}/curves"), with_keys=with_keys
    )
    inside, own = f"sqlite:///{tmp_path}/curves/m.db", f"sqlite:///{tmp_path}/data/relora.db"
    assert problems(tracked(spec, own), rules) == ["trackers.1.uri"]
    assert problems(tracked(spec, inside), rules) == (["trackers.1.uri"] if with_keys else [])
    assert problems(tracked(spec, inside), allowed) == []
    assert problems(tracked(spec, f"sqlite:///{tmp_path}/m.db"), allowed) == ["trackers.1.uri"]


def test_a_tokenizer_is_no_upload(spec: JobSpec, tmp_path: Path) -> None:
    named = spec_with(tracked(spec, "https://8.8.8.8"), tokenizer={"pretrained": "upload://ds_1"})
    assert problems(named, Locations.of(settings(tmp_path))) == ["tokenizer.pretrained"]


@pytest.mark.parametrize(
    ("output", "source", "refused"),
    [
        ("s3://models/team/run", "s3://corpus/c4/*.txt", []),
        ("s3://models/teams/run", "s3://corpus/c4/*.txt", ["output.uri"]),
        ("s3://models/team/../run", "file:///corpus/*.txt", ["output.uri"]),
        ("file:///models/run", "/corpus/c4/*.txt", []),
        ("file:///models/../run", "file:///corpus/*/../../*.txt", ["output.uri", "data.train.uri"]),
        ("file:///run", "s3://corp*/*.txt", ["output.uri", "data.train.uri"]),
        ("s3://models/team", "hf://Salesforce/wikitext?split=train", []),
    ],
)
def test_an_operator_says_where_jobs_write_and_read(
    spec: JobSpec, tmp_path: Path, output: str, source: str, refused: list[str]
) -> None:
    allowed = settings(
        tmp_path,
        allowed_outputs="s3://models/team, file:///models",
        allowed_sources="s3://corpus,/corpus",
    )
    named = spec_with(spec, output={"uri": output}, data={"train": {"uri": source}})
    assert problems(named, Locations.of(allowed)) == refused
    assert problems(named, Locations.of(allowed, with_keys=True)) == refused


def test_files_that_are_named_by_id_are_the_admissions_to_check(
    spec: JobSpec, tmp_path: Path
) -> None:
    named = spec_with(
        spec,
        model={"pretrained": "job://job_1/final"},
        tokenizer={"pretrained": "job://job_1/final"},
        data={"train": {"uri": "upload://ds_1"}},
    )
    rules = Locations.of(settings(tmp_path, allowed_sources="/corpus"), with_keys=True)
    assert problems(named, rules) == []


def test_each_place_of_a_list_is_a_place_of_its_own(spec: JobSpec, tmp_path: Path) -> None:
    own = tmp_path / "data/storage/jobs/x.jsonl"
    data = {"train": {"uri": ["hf://a/b", str(own)]}, "validation": {"uri": [str(own)]}}
    assert problems(spec_with(spec, data=data), Locations.of(settings(tmp_path))) == [
        "data.train.uri.1",
        "data.validation.uri.0",
    ]


@pytest.mark.parametrize("path", ["{data}/stor%61ge/x.txt", "%2F{data}/storage/x.txt"])
def test_no_escape_leads_into_the_folders_of_the_service(
    spec: JobSpec, tmp_path: Path, path: str
) -> None:
    uri = "file://" + path.format(data=tmp_path / "data")
    named = spec_with(
        spec,
        data={"train": {"uri": uri}},
        model={"pretrained": uri, "init": "random"},
        tokenizer={"pretrained": uri},
        method={"name": "relora", "warm_start_from": uri, "reset_every": 10},
    )
    assert problems(named, Locations.of(settings(tmp_path))) == [
        "data.train.uri",
        "model.pretrained",
        "tokenizer.pretrained",
        "method.warm_start_from",
    ]


def test_neither_reading_of_an_escape_may_lead_where_nothing_is_allowed(
    spec: JobSpec, tmp_path: Path
) -> None:
    """The trainer takes the reading of the URI that exists on the disk."""
    (tmp_path / "link%20").symlink_to("/etc")
    named = spec_with(spec, data={"train": {"uri": f"file://{tmp_path}/link%20/x.txt"}})
    allowed = settings(tmp_path, allowed_sources=str(tmp_path))
    assert problems(named, Locations.of(allowed)) == ["data.train.uri"]


def test_a_link_whose_name_looks_like_a_pattern_is_followed(spec: JobSpec, tmp_path: Path) -> None:
    (tmp_path / "data/storage").mkdir(parents=True)
    (tmp_path / "[x]").symlink_to(tmp_path / "data/storage")
    named = spec_with(spec, data={"train": {"uri": f"{tmp_path}/[x]/jobs/*.txt"}})
    assert problems(named, Locations.of(settings(tmp_path))) == ["data.train.uri"]


@pytest.mark.parametrize("uri", ["s3://bucket/other/../allowed", "s3://bucket/allowed/../allowed"])
def test_a_key_that_leads_back_is_in_no_allowed_place_of_a_bucket(
    spec: JobSpec, tmp_path: Path, uri: str
) -> None:
    """Amazon S3 takes `..` literally, so such a key is not inside the resolved prefix."""
    allowed = {"allowed_outputs": "s3://bucket/allowed", "allowed_sources": "s3://bucket/allowed"}
    rules = Locations.of(settings(tmp_path, **allowed))
    source = {**spec.train.data.model_dump(mode="json"), "train": {"uri": uri}}
    named = spec_with(spec, output={"uri": uri}, data=source)
    assert problems(named, rules) == ["output.uri", "data.train.uri"]
