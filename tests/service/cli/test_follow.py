"""A job in a terminal, and where there is none."""

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console

from jobs.backends import Backends
from jobs.schemas.events import AnyJobEvent, JobClaimed, JobPaused, JobStarted
from jobs.schemas.job import Job
from jobs.schemas.status import JobError, JobStatus, RequestedAction
from relora_core.events import DataProgress, Evaluated, PhaseStarted, TrainFailed
from relora_core.spec import TrainSpec
from service.cli.follow import Now, follow
from service.client import Client
from tests.fixtures.reports import step_finished
from tests.service.process import Service

Report = Callable[..., None]


def console(*, terminal: bool) -> Console:
    return Console(file=StringIO(), force_terminal=terminal, width=100, color_system=None)


def printed(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def shown(job: Job, *events: AnyJobEvent) -> list[str]:
    """The lines of the bar after these events."""
    now, screen = Now(job), console(terminal=False)
    for event in events:
        now.apply(event)
    screen.print(now)
    return [line.rstrip() for line in printed(screen).splitlines() if line.strip()]


def test_before_its_first_step_a_job_shows_that_it_waits(job: Job) -> None:
    title, bar, numbers = shown(job)
    assert title == f"tiny  queued  {job.id}"
    assert bar.endswith("0/100  0%")
    assert numbers == "no step yet"


def test_while_its_data_is_prepared_a_job_shows_how_far_that_is(job: Job) -> None:
    progress = DataProgress(split="train", making="tokens", documents=9, tokens=70)
    *_, numbers = shown(job, JobStarted(worker="w1"), progress)
    assert numbers == "train data, tokenizing: 9 documents, 70 tokens"


def test_a_running_job_shows_its_numbers_and_how_long_it_will_take(job: Job) -> None:
    title, bar, *numbers = shown(
        job,
        JobClaimed(worker="w1"),
        JobStarted(worker="w1"),
        PhaseStarted(step=0, phase="warm_start", trainable_parameters=10, frozen_parameters=0),
        Evaluated(step=0, loss=8.0, perplexity=2981.0, tokens=1000),
        step_finished(40, epoch=1.25),
    )
    assert title == f"tiny  running  low rank  {job.id}"
    assert bar.endswith("40/100  40%")
    # 60 steps of 10 sequences of 100 tokens, 500 tokens a second: two minutes.
    assert re.split(" {2,}", "  ".join(numbers)) == [  # whole facts, however narrow the screen is
        "loss 4.000",
        "lr 1.00e-03",
        "ppl 2,981.0 (step 0)",
        "epoch 1.25",
        "ReLoRA restarts 1",
        "tokens/s 500",
        "ETA 0:02:00",
    ]


def test_a_rate_of_the_factors_is_shown_beside_that_of_the_rest(job: Job) -> None:
    numbers = "  ".join(
        shown(job, JobStarted(worker="w1"), step_finished(40, factor_learning_rate=1.4e-2))
    )
    assert {"lr 1.00e-03", "lr of A and B 1.40e-02"} <= set(re.split(" {2,}", numbers))


def test_an_image_classifier_shows_its_accuracy_and_counts_images(job: Job) -> None:
    images = TrainSpec.model_validate(
        {
            "task": "image_classification",
            "model": {"preset": "vit_tiny"},
            "data": {"train": {"uri": "images"}},
            "training": {"steps": 100, "global_batch_size": 10},
        }
    )
    spec = job.spec.model_copy(update=dict(images))
    *_, numbers = shown(
        job.model_copy(update={"spec": spec}),
        JobStarted(worker="w1"),
        Evaluated(step=0, loss=2.0, accuracy=0.25, images=1000),
        step_finished(40).model_copy(update={"unit": "images"}),
    )
    assert "accuracy 25.0%" in numbers
    assert "images/s 500" in numbers
    assert "ETA 0:00:01" in numbers  # 60 steps of 10 images
    assert "ppl" not in numbers


def test_a_paused_job_promises_no_end(job: Job) -> None:
    title, _, numbers = shown(job, JobStarted(worker="w1"), step_finished(40), JobPaused())
    assert title.startswith("tiny  paused  job_")
    assert numbers.endswith("ETA -")


def test_a_job_that_waits_shows_its_place_in_the_queue(
    client: Client, job: Job, backends: Backends
) -> None:
    last = backends.store.create(job.spec)
    screen = console(terminal=False)
    end = threading.Timer(1.0, backends.store.request_action, (last.id, RequestedAction.CANCEL))
    end.start()
    follow(client, last.id, screen, console(terminal=False))
    end.join()
    assert printed(screen).splitlines()[0] == "place 2 in the queue"


def test_why_a_job_failed_is_shown_once(
    client: Client, backends: Backends, running: Job, report: Report
) -> None:
    error = JobError(code="data_error", message="no text in /data")
    report(running, TrainFailed(code=error.code, message=error.message, retryable=False))
    backends.attempts.finish(running.id, 1, JobStatus.FAILED, error=error)
    screen = console(terminal=False)
    follow(client, running.id, screen, console(terminal=False))
    assert printed(screen).count("no text in /data") == 1


@pytest.fixture
def told(client: Client, backends: Backends, running: Job, report: Report) -> Job:
    """A finished job of a hundred steps, a second apart."""
    start = datetime.now(UTC) + timedelta(minutes=1)  # later than step 1, which came just now
    steps = [step_finished(n, time=start + timedelta(seconds=n)) for n in range(2, 101)]
    report(running, *steps, Evaluated(step=100, loss=3.0, perplexity=20.1, tokens=1000))
    backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)
    return client.jobs.get(running.id)


def test_in_a_terminal_what_happened_scrolls_above_the_bar(client: Client, told: Job) -> None:
    screen = console(terminal=True)
    notices = console(terminal=True)
    job = follow(client, told.id, screen, notices)
    text = printed(screen)
    assert job == told
    assert "claimed by w1" in text
    assert "perplexity 20.1" in text
    assert "step 57/100" not in text
    assert "100/100  100%" in text.splitlines()[-3]
    assert printed(notices) == ""


def test_without_a_terminal_the_loss_is_a_line_every_five_seconds(
    client: Client, told: Job
) -> None:
    screen, notices = console(terminal=False), console(terminal=False)
    follow(client, told.id, screen, notices)
    lines = printed(screen).splitlines()
    steps = [line for line in lines if "· step" in line]
    assert [line.split()[3] for line in steps[:3]] == ["1/100", "2/100", "7/100"]
    assert lines[-1].endswith("✓ succeeded")
    assert printed(notices) == ""


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize(
    "terminals", [set(), {"stdout"}, {"stdout", "stderr"}], ids=["piped", "2>file", "terminal"]
)
def test_a_server_that_is_killed_is_told_once_beside_what_is_shown(
    service: Service, backends: Backends, running: Job, report: Report, terminals: set[str]
) -> None:
    """Where stderr is the terminal of the picture, it is told above that."""

    def go_on() -> None:
        time.sleep(0.5)
        service.kill()
        report(running, Evaluated(step=2, loss=3.0, perplexity=20.1, tokens=1000))
        service.start()
        backends.attempts.finish(running.id, 1, JobStatus.SUCCEEDED)

    screen, notices = (console(terminal=one in terminals) for one in ("stdout", "stderr"))
    outage = threading.Thread(target=go_on)
    with Client(service.url) as client:
        outage.start()
        assert follow(client, running.id, screen, notices).status is JobStatus.SUCCEEDED
    outage.join()
    above = "stderr" in terminals
    told, untold = (screen, notices) if above else (notices, screen)
    for words in ("! the stream was cut, connecting again", "● connected again after"):
        assert printed(told).count(words) == 1
        assert words not in printed(untold)
    signs = [sign for sign in "●▶◆✓" for _ in range(printed(screen).count(f" {sign} "))]
    assert signs == ["●", "●", *("●" * above), "▶", "◆", "✓"]
