"""The upload of a model to the Hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.backoff import Backoff
from jobs.schemas.events import JobPublished
from tests.fixtures.proxy import Proxy
from tests.worker.checkpoints import warnings
from tests.worker.conftest import BeginAttempt, MakeSpec
from tests.worker.hub_server import COMMIT, Hub, serving_hub
from worker.attempt.attempt import Attempt
from worker.transfers import hub as publishing
from worker.transfers.hub import publish

# huggingface_hub causes this warning of httpx when it uploads a large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes")

VALUE = "hf_0123456789"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(publishing, "MAX_TRIES", 3)
    monkeypatch.setattr(publishing, "BACKOFF", Backoff(first=0, longest=0))
    with serving_hub() as opened:
        monkeypatch.setenv("HF_ENDPOINT", opened.url)
        yield opened


@pytest.fixture
def attempt(backends: Backends, begin_attempt: BeginAttempt, make_spec: MakeSpec) -> Attempt:
    """Return an attempt whose run is complete."""
    backends.secrets.put("default", "hub-token", VALUE)
    output = {"hub": {"repo": "org/model"}}
    attempt = begin_attempt(make_spec(output=output, secrets={"HF_TOKEN": "hub-token"}))
    final: Path = attempt.workdir.root / "final"
    final.mkdir()
    (final / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    (final / "config.json").write_text("{}")
    (final / "model.safetensors").write_bytes(b"weights")
    return attempt


def published(attempt: Attempt) -> list[JobPublished]:
    events = attempt.backends.store.events(attempt.job.id, types={"job.published"})
    return [event for event in events if isinstance(event, JobPublished)]


def test_the_model_is_committed_with_the_jobs_token(attempt: Attempt, hub: Hub) -> None:
    publish(attempt)
    assert hub.repositories == {"org/model": "private"}
    assert hub.files["config.json"] == b"{}"
    assert hub.files["model.safetensors"] == b"weights"
    assert hub.messages == ["relora, after 60 steps"]
    assert hub.tokens == {f"Bearer {VALUE}"}
    (event,) = published(attempt)
    assert (event.repo, event.url) == ("org/model", f"{hub.url}/org/model/commit/{COMMIT}")


def test_a_hub_that_is_down_for_a_moment_is_asked_again(attempt: Attempt, hub: Hub) -> None:
    hub.refusals = [500, 502]
    publish(attempt)
    assert len(published(attempt)) == 1
    assert warnings(attempt.backends, attempt.job.id) == []


def test_a_token_that_may_not_write_is_a_warning_at_once(attempt: Attempt, hub: Hub) -> None:
    hub.refusals = [403]
    publish(attempt)
    assert warnings(attempt.backends, attempt.job.id) == ["not_published"]
    assert published(attempt) == []
    assert hub.files == {}


def test_a_hub_that_stays_down_is_a_warning(attempt: Attempt, hub: Hub) -> None:
    hub.refusals = [500] * 10
    publish(attempt)
    (event,) = attempt.backends.store.events(attempt.job.id, types={"job.warning"})
    assert str(event).startswith("warning: the model is not on the Hub, in org/model: ")
    assert VALUE not in str(event)
    assert "HfHubHTTPError (HTTP status 500)" in str(event)
    assert "refused" not in str(event)  # the Hub's own message


def test_a_job_that_does_not_ask_for_it_publishes_nothing(begin_attempt: BeginAttempt) -> None:
    attempt = begin_attempt()
    publish(attempt)
    assert published(attempt) == []


def test_a_hub_that_does_not_answer_holds_no_worker_up(
    attempt: Attempt, hub: Hub, backends: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "ANSWER_SECONDS", 0.2)
    with Proxy.to(hub.url) as proxy:
        monkeypatch.setenv("HF_ENDPOINT", proxy.url(hub.url))
        proxy.freeze()
        publish(attempt)
    assert warnings(backends, attempt.job.id) == ["not_published"]
