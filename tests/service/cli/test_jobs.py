"""The command line, against a real server."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.backends import Backends
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from relora_core.events import Evaluated
from service.cli.tables.table import moment
from tests.fixtures.reports import step_finished
from tests.service.cli.conftest import Relora
from tests.service.files import AddFile

ERROR = JobError(code="data_error", message="no text in /data")


def test_a_spec_is_submitted(relora: Relora, backends: Backends, spec_file: Path) -> None:
    result = relora("jobs", "submit", spec_file)
    (job,) = backends.store.list()
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"submitted {job.id}",
        f"  relora jobs follow {job.id}   # watch it",
    ]


@pytest.mark.parametrize("command", [("jobs", "submit"), ("estimate",)])
def test_fields_that_were_ignored_are_told_on_stderr(
    command: tuple[str, ...], relora: Relora, tmp_path: Path, document: dict[str, Any]
) -> None:
    document["method"] = {"name": "lora", "rank": 8, "reset_every": 100}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(document))
    result = relora(*command, tmp_path / "spec.yaml", "--json")
    assert json.loads(result.stdout)["spec"]["method"]["name"] == "lora"
    assert result.stderr == (
        "warning: method.reset_every is ignored: it belongs to relora, not to lora\n"
    )


def test_a_json_spec_is_submitted_and_answered_in_json(
    relora: Relora, backends: Backends, tmp_path: Path, document: dict[str, Any]
) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(document))
    result = relora("jobs", "submit", tmp_path / "spec.json", "--json")
    (job,) = backends.store.list()
    assert Job.model_validate_json(result.stdout) == job


def test_a_wrong_spec_is_explained_field_by_field(
    relora: Relora, tmp_path: Path, document: dict[str, Any]
) -> None:
    document["method"] = {"name": "relora", "rnak": 8}
    del document["model"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(document))
    result = relora("jobs", "submit", tmp_path / "spec.yaml")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "error: The spec was not accepted; nothing is queued.",
        "  model: required",
        "  method.rnak: unknown field; did you mean `rank`?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("a: [", "neither YAML nor JSON"),
        ("- a\n- b", "holds no job spec"),
    ],
)
def test_a_file_that_is_no_spec_is_a_wrong_command(
    relora: Relora, tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "spec.yaml").write_text(text)
    result = relora("jobs", "submit", tmp_path / "spec.yaml")
    assert result.exit_code == 2
    assert message in result.stderr


def test_nobody_at_the_address_has_its_own_exit_code(relora: Relora) -> None:
    result = relora("jobs", "list", at="http://127.0.0.1:9")
    assert result.exit_code == 3
    assert "relora up" in result.stderr
    assert "Traceback" not in result.output


def test_a_job_that_is_not_there_is_a_wrong_command(relora: Relora) -> None:
    result = relora("jobs", "get", "job_none")
    reason = "No job's id begins with 'job_none'; `relora jobs list` shows the ids."
    assert (result.exit_code, result.stderr) == (2, f"error: {reason}\n")


def test_the_name_of_a_job_in_place_of_its_id_is_answered_with_the_id(
    relora: Relora, job: Job, backends: Backends
) -> None:
    newest = backends.store.create(job.spec)
    result = relora("jobs", "get", "Tiny")
    reason = f"No job's id begins with 'Tiny'; did you mean the job tiny, {newest.id}?"
    assert (result.exit_code, result.stderr) == (2, f"error: {reason}\n")


def test_a_status_that_there_is_not_is_answered_with_the_nearest_one(relora: Relora) -> None:
    result = relora("jobs", "list", "--status", "quued")
    assert result.exit_code == 2
    assert "Did you mean 'queued'?" in " ".join(result.stderr.replace("│", " ").split())


def test_jobs_are_listed(relora: Relora, running: Job) -> None:
    header, row = relora("jobs", "list").stdout.splitlines()
    assert header.split() == ["id", "name", "method", "status", "step", "loss", "created"]
    assert row.split()[:6] == [running.id, "tiny", "relora", "running", "1/100", "4.000"]


def test_a_job_is_shown(relora: Relora, running: Job) -> None:
    facts = dict(
        line.split(maxsplit=1) for line in relora("jobs", "get", running.id).stdout.splitlines()
    )
    assert facts["status"].strip() == "running"
    assert facts["attempt"].strip() == "1 (0 of 5 failed)"
    assert facts["worker"].strip() == "w1"
    assert facts["method"].strip() == "relora"
    assert facts["model"].strip() == "llama_9m"
    assert facts["tokens/s"].strip() == "500"
    assert facts["started"].strip() == moment(running.started_at)


def test_a_score_that_was_measured_before_the_last_step_shows_its_step(
    relora: Relora, running: Job, report: Callable[..., None]
) -> None:
    def perplexity() -> str:
        lines = relora("jobs", "get", running.id).stdout.splitlines()
        return next(line.split(maxsplit=1)[1].strip() for line in lines if "perplexity" in line)

    report(running, Evaluated(step=1, loss=3.0, perplexity=20.1, tokens=1000))
    assert perplexity() == "20.100"
    report(running, step_finished(90), first=3)
    assert perplexity() == "20.100 (step 1)"


def test_a_job_is_named_by_the_beginning_of_its_id_or_as_the_last(
    relora: Relora, job: Job, backends: Backends
) -> None:
    last = backends.store.create(job.spec)
    shared = next(n for n, (a, b) in enumerate(zip(job.id, last.id, strict=True)) if a != b)
    beginning = job.id[: shared + 1]
    assert job.id in relora("jobs", "get", beginning).stdout
    assert last.id in relora("jobs", "get", "@last").stdout
    both = relora("compare", beginning, "@last").stdout
    assert job.id in both
    assert last.id in both


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("job_", "More than one job's id begins with 'job_'; give more of it."),
        ("job_zz", "No job's id begins with 'job_zz'; `relora jobs list` shows the ids."),
        ("job_%", "No job's id begins with 'job_%'; `relora jobs list` shows the ids."),
    ],
)
def test_a_beginning_of_no_job_or_of_several_is_a_wrong_command(
    name: str, reason: str, relora: Relora, job: Job, backends: Backends
) -> None:
    backends.store.create(job.spec)
    result = relora("jobs", "cancel", name)
    assert (result.exit_code, result.stderr) == (2, f"error: {reason}\n")


def test_where_there_is_no_job_there_is_no_last_one(relora: Relora) -> None:
    result = relora("jobs", "get", "@last")
    assert (result.exit_code, result.stderr) == (2, "error: There is no job yet.\n")


def test_deleting_a_job_says_which_files_stay(
    relora: Relora, backends: Backends, running: Job, add_file: AddFile
) -> None:
    add_file("final/config.json", b"{}")
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    result = relora("jobs", "delete", running.id)
    assert result.stdout == f"deleted {running.id}\n"
    assert result.stderr.startswith("left in the storage: 1 file (2 bytes). ")
    assert "--artifacts" in result.stderr


def test_the_version_is_printed(relora: Relora) -> None:
    assert relora("--version").stdout == f"relora {version('relora')}\n"


@pytest.mark.parametrize("address", ["nonsense", "http://", "http://a:99999", "ftp://a"])
def test_an_address_that_is_none_is_a_wrong_command(relora: Relora, address: str) -> None:
    result = relora("jobs", "list", at=address)
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: {address!r} is not an address of a service, such as http://127.0.0.1:8000\n",
    )


@pytest.mark.parametrize("key", ["two\nlines", "ké"])
def test_a_key_that_is_none_is_a_wrong_command(
    relora: Relora, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("RELORA_API_KEY", key)
    result = relora("jobs", "list")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: the API key must be one line of ASCII characters\n",
    )


@pytest.mark.usefixtures("job")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("jobs", "list", "--limit", "0"), "must be at least 1"),
        (("jobs", "list", "--limit", "few"), "must be a whole number"),
        (("jobs", "list", "--status", "done"), "'done' is not one of 'queued', 'starting'"),
        (("jobs", "list", "--created-after", "yesterday"), "not a time such as 2026-01-31"),
        (("keys", "create", "k", "--scope", "root"), "'root' is not one of 'read'"),
        (("jobs", "generate", "@last", "--temperature", "hot"), "must be a number"),
    ],
)
def test_a_wrong_option_is_explained_without_a_librarys_words(
    relora: Relora, arguments: tuple[str, ...], reason: str
) -> None:
    result = relora(*arguments)
    told = " ".join(result.stderr.replace("│", " ").split())
    assert result.exit_code == 2
    assert reason in told
    assert "Value error" not in told
    assert "Input should" not in told


def test_a_requested_action_is_shown_until_the_worker_does_it(relora: Relora, running: Job) -> None:
    assert "running (pause asked)" in relora("jobs", "pause", running.id).stdout
    assert "running (cancel asked)" in relora("jobs", "cancel", running.id).stdout


def test_a_profile_is_asked_for_and_the_next_command_named(relora: Relora, running: Job) -> None:
    told = relora("jobs", "profile", running.id, "--steps", "3").stdout
    assert "asked for a profile of 3 steps" in told
    assert f"relora jobs events {running.id} --type train.profile" in told
    assert "has not saved it yet" in relora("jobs", "profile", running.id).stderr


def test_a_paused_job_is_resumed(relora: Relora, job: Job) -> None:
    assert "paused" in relora("jobs", "pause", job.id).stdout
    assert "queued" in relora("jobs", "resume", job.id).stdout
    result = relora("jobs", "resume", job.id)
    assert result.exit_code == 2
    assert "cannot be resumed" in result.stderr


def test_following_a_job_that_succeeds_ends_well(
    relora: Relora, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    result = relora("jobs", "follow", running.id)
    assert result.exit_code == 0
    *_, over, download, generate = result.stdout.splitlines()
    assert over.endswith("succeeded")
    assert f"relora jobs download {running.id} --to" in download
    assert f"relora jobs generate {running.id}" in generate


def test_following_a_job_that_fails_ends_with_one(
    relora: Relora, backends: Backends, running: Job
) -> None:
    backends.attempts.finish(running.id, 1, JobStatus.FAILED, error=ERROR)
    result = relora("jobs", "follow", running.id, "--json")
    assert result.exit_code == 1
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["type"], last["error"]["message"]) == ("job.failed", "no text in /data")
    assert "no text in /data" in relora("jobs", "get", running.id).stdout


def test_waiting_for_a_job_says_nothing_but_how_it_ended(
    relora: Relora, backends: Backends, running: Job
) -> None:
    outcome = threading.Timer(
        0.3, backends.attempts.finish, (running.id, 1, JobStatus.FAILED), {"error": ERROR}
    )
    outcome.start()
    result = relora("jobs", "wait", running.id)
    outcome.join()
    assert (result.exit_code, result.stderr) == (1, "")
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["status"].strip() == "failed"
    assert facts["error"].strip() == "no text in /data"


def test_events_are_printed(relora: Relora, running: Job) -> None:
    lines = relora("jobs", "events", running.id, "--after", "2").stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("▶ the trainer starts")
    as_json = relora("jobs", "events", running.id, "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in as_json] == [1, 2, 3, 4]
    chosen = relora("jobs", "events", running.id, "--type", "job.started", "--type", "train.step")
    assert [line.split()[1] for line in chosen.stdout.splitlines()] == ["▶", "·"]


def test_a_spec_is_submitted_and_followed_in_json(
    relora: Relora, backends: Backends, spec_file: Path
) -> None:
    def cancel() -> None:
        while not (waiting := backends.store.list()):
            time.sleep(0.02)
        backends.store.request_action(waiting[0].id, RequestedAction.CANCEL)

    thread = threading.Thread(target=cancel)
    thread.start()
    result = relora("jobs", "submit", spec_file, "-f", "--json")
    thread.join()
    job, *events = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, job["status"]) == (1, "queued")
    assert [event["type"] for event in events] == ["job.queued", "job.cancelled"]


def test_a_list_is_narrowed_and_is_a_line_for_each_in_json(
    relora: Relora, backends: Backends, document: dict[str, Any]
) -> None:
    spec = JobSpec.model_validate({**document, "labels": {"team": "nlp"}})
    wanted, _ = backends.store.create(spec), backends.store.create(JobSpec(**document))
    narrowed = relora("jobs", "list", "--label", "team=nlp", "--status", "queued", "--json")
    assert [json.loads(line)["id"] for line in narrowed.stdout.splitlines()] == [wanted.id]
    assert len(relora("jobs", "list", "--json").stdout.splitlines()) == 2


def test_a_list_is_narrowed_by_time_in_this_zone(relora: Relora, job: Job) -> None:
    second = timedelta(seconds=2)
    before, after = (
        f"{job.created_at.astimezone() + d:%Y-%m-%dT%H:%M:%S}" for d in (-second, second)
    )
    assert job.id in relora("jobs", "list", "--created-after", before).stdout
    assert job.id not in relora("jobs", "list", "--created-after", after).stdout
    assert job.id in relora("jobs", "list", "--created-before", after).stdout
    assert (
        job.id not in relora("jobs", "list", "--created-before", "2026-01-31T12:00:00+0100").stdout
    )


def test_a_waiting_job_is_changed_and_shows_its_place(relora: Relora, job: Job) -> None:
    changes = ("--name", "better", "--label", "team=nlp", "--label", "lang=en", "--priority", "-5")
    lines = relora("jobs", "change", job.id, *changes).stdout.splitlines()
    facts = [[part.strip() for part in line.split("  ", 1)] for line in lines]
    assert facts[1:3] == [["name", "better"], ["labels", "lang=en, team=nlp"]]
    assert ["in the queue", "place 1, priority -5"] in facts
    assert "labels" not in relora("jobs", "change", job.id, "--no-labels").stdout


def test_a_change_of_nothing_is_a_wrong_command(relora: Relora, job: Job) -> None:
    result = relora("jobs", "change", job.id)
    assert result.exit_code == 2
    assert "--priority" in result.stderr


def test_a_running_job_keeps_its_priority(relora: Relora, running: Job) -> None:
    result = relora("jobs", "change", running.id, "--priority", "5")
    assert (result.exit_code, "cannot be given another priority" in result.stderr) == (2, True)


def test_a_job_is_forked_retried_and_deleted(relora: Relora, job: Job) -> None:
    settings = ("--set", "training.steps=200", "--set", "name=longer")
    fork = json.loads(relora("jobs", "fork", job.id, *settings, "--json").stdout)
    assert (fork["name"], fork["spec"]["training"]["steps"]) == ("longer", 200)
    relora("jobs", "cancel", job.id)
    assert "queued" in relora("jobs", "retry", job.id).stdout
    relora("jobs", "cancel", job.id)
    assert relora("jobs", "delete", job.id, "--artifacts").exit_code == 0
    assert relora("jobs", "get", job.id).exit_code == 2


@pytest.mark.parametrize("setting", ["steps", "training.steps=[", "=1"])
def test_a_wrong_change_is_refused(relora: Relora, job: Job, setting: str) -> None:
    result = relora("jobs", "fork", job.id, "--set", setting)
    assert result.exit_code == 2
    assert repr(setting) in result.stderr


def test_a_wrong_field_of_a_fork_is_named_as_it_was_typed(relora: Relora, job: Job) -> None:
    result = relora("jobs", "fork", job.id, "--set", "training.steps=-1")
    assert (result.exit_code, result.stderr.splitlines()[1:]) == (
        2,
        ["  training.steps: must be at least 1; got -1"],
    )


def test_an_estimate_says_what_a_spec_costs(relora: Relora, spec_file: Path) -> None:
    assert "memory" in relora("estimate", spec_file).stdout
    assert json.loads(relora("estimate", spec_file, "--json").stdout)["estimate"]["name"] == "tiny"


def test_an_estimate_for_a_gpu_that_nobody_named_says_so(relora: Relora, spec_file: Path) -> None:
    last = relora("estimate", spec_file).stdout.splitlines()[-1]
    assert last.startswith("No worker has a GPU that estimates know, so h100 is assumed; --gpu ")
    assert "is assumed" not in relora("estimate", spec_file, "--gpu", "l4").stdout


def test_who_has_no_key_is_told_where_to_put_it(
    relora: Relora, stranger: Callable[..., tuple[str, list[Any]]]
) -> None:
    url, _ = stranger((401, {}))
    result = relora("jobs", "list", at=url)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        "  Set RELORA_API_KEY to your key.",
    )


def test_a_service_that_cannot_answer_now_is_as_one_that_does_not(
    relora: Relora, stranger: Callable[..., tuple[str, list[Any]]]
) -> None:
    url, seen = stranger((503, {"Retry-After": "0"}))
    assert relora("jobs", "list", at=url).exit_code == 3
    assert len(seen) == 3


def test_the_changes_of_a_fork_are_a_file_and_settings_on_top_of_it(
    relora: Relora, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b.jsonl").write_text("")
    (tmp_path / "changes.yaml").write_text(
        "data: {train: {uri: a b.jsonl}}\ntraining: {steps: 200, seed: 7}"
    )
    settings = ("--changes", "changes.yaml", "--set", "training.seed=8")
    spec = json.loads(relora("jobs", "fork", job.id, *settings, "--json").stdout)["spec"]
    assert spec["data"]["train"]["uri"] == f"{tmp_path}/a b.jsonl"
    assert (spec["training"]["steps"], spec["training"]["seed"]) == (200, 8)
