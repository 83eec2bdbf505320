"""Generations and their claims, on both databases."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier

import pytest
from pydantic import ValidationError
from sqlalchemy import delete, literal

from jobs.access.projects import ProjectStore
from jobs.database.engine import open_engine
from jobs.database.tables.jobs import events, jobs, outbox
from jobs.errors import GenerationNotFound, JobNotFound, TooManyGenerations
from jobs.generations import GenerationStore
from jobs.schemas.generations import GeneratedText, Generation, GenerationStatus, NewGeneration
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.projects import NewProject
from jobs.schemas.status import JobError
from jobs.store.jobs import JobStore

NEW = NewGeneration(prompt="In the beginning", seed=7)
TEXT = GeneratedText(text=" was", prompt_tokens=3, new_tokens=1, finish_reason="length")
ERROR = JobError(code="generation_failed", message="no")


@pytest.fixture
def generations(database_url: str) -> Iterator[GenerationStore]:
    engine = open_engine(database_url)
    yield GenerationStore(engine)
    engine.dispose()


@pytest.fixture
def asked(generations: GenerationStore, job: Job) -> Generation:
    return generations.create(job.id, NEW, step=20, seconds=60)


def test_what_is_asked_waits(generations: GenerationStore, job: Job, asked: Generation) -> None:
    assert (asked.status, asked.step, asked.request) == ("queued", 20, NEW)
    assert generations.get(job.id, asked.id) == asked
    for job_id, generation_id in ((job.id, "gen_none"), ("job_none", asked.id)):
        with pytest.raises(GenerationNotFound):
            generations.get(job_id, generation_id)


def test_a_text_is_there_as_far_as_it_has_come(
    generations: GenerationStore, job: Job, asked: Generation
) -> None:
    assert asked.text == ""
    claim = generations.claim(worker="g", seconds=60)
    assert claim is not None
    generations.tell(claim, "and the")
    assert generations.get(job.id, asked.id).text == "and the"
    generations.give_back(claim, seconds=60)
    assert generations.get(job.id, asked.id).text == ""
    generations.tell(claim, "late")
    assert generations.get(job.id, asked.id).text == ""
    again = generations.claim(worker="g", seconds=60)
    assert again is not None
    generations.succeed(again, TEXT)
    assert generations.get(job.id, asked.id).text == TEXT.text


def test_they_are_taken_in_the_order_in_which_they_were_asked(
    generations: GenerationStore, job: Job, asked: Generation
) -> None:
    later = generations.create(job.id, NEW, step=20, seconds=60)
    taken = [generations.claim(worker="g", seconds=60) for _ in range(3)]
    assert [claim and claim.generation.id for claim in taken] == [asked.id, later.id, None]


def test_projects_take_turns_however_many_generations_one_has(
    generations: GenerationStore,
    store: JobStore,
    projects: ProjectStore,
    spec: JobSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()  # one tick of the clock for all of them
    monkeypatch.setattr("jobs.generations.database_now", lambda: literal(now))
    for name in ("loud", "quiet"):
        projects.create(NewProject(name=name))
    loud, quiet = (store.create(spec, project=name).id for name in ("loud", "quiet"))
    many = [generations.create(loud, NEW, step=20, seconds=60).id for _ in range(4)]
    few = [generations.create(quiet, NEW, step=20, seconds=60).id for _ in range(2)]
    taken = [generations.claim(worker="g", seconds=60) for _ in range(6)]
    order = [claim and claim.generation.id for claim in taken]
    assert order == [many[0], few[0], many[1], few[1], *many[2:]]


def test_a_project_cannot_fill_the_queue(
    generations: GenerationStore,
    store: JobStore,
    projects: ProjectStore,
    job: Job,
    spec: JobSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.generations.MAX_QUEUED", 2)
    projects.create(NewProject(name="other"))
    for _ in range(2):
        generations.create(job.id, NEW, step=20, seconds=60)
    with pytest.raises(TooManyGenerations, match="2 generations of this project wait already"):
        generations.create(store.create(spec).id, NEW, step=20, seconds=60)
    generations.create(store.create(spec, project="other").id, NEW, step=20, seconds=60)
    assert generations.claim(worker="g", seconds=60) is not None
    generations.create(job.id, NEW, step=20, seconds=60)


def test_requests_at_once_ask_for_no_more_than_a_project_may_have_waiting(
    generations: GenerationStore, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.generations.MAX_QUEUED", 2)
    together = Barrier(6)

    def create(_: int) -> None:
        together.wait()
        with suppress(TooManyGenerations):
            generations.create(job.id, NEW, step=20, seconds=60)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(create, range(6)))
    assert len(generations.list(job.id)) == 2


def test_a_result_ends_it(generations: GenerationStore, job: Job, asked: Generation) -> None:
    claim = generations.claim(worker="g", seconds=60)
    assert claim is not None
    generations.succeed(claim, TEXT)
    done = generations.get(job.id, asked.id)
    assert (done.status, done.result, done.error) == ("succeeded", TEXT, None)
    assert done.finished_at is not None
    generations.fail(claim, ERROR)  # it has ended already
    assert generations.get(job.id, asked.id) == done


def test_who_gave_it_back_writes_nothing_to_it(
    generations: GenerationStore, job: Job, asked: Generation
) -> None:
    first = generations.claim(worker="g1", seconds=60)
    assert first is not None
    generations.give_back(first, seconds=60)
    second = generations.claim(worker="g2", seconds=60)
    assert second is not None
    generations.succeed(first, TEXT)
    assert generations.get(job.id, asked.id).status is GenerationStatus.RUNNING
    generations.fail(second, ERROR)
    failed = generations.get(job.id, asked.id)
    assert (failed.status, failed.error) == ("failed", ERROR)


def test_what_nobody_takes_or_ends_in_time_fails(generations: GenerationStore, job: Job) -> None:
    taken = generations.create(job.id, NEW, step=20, seconds=60)
    assert generations.claim(worker="g", seconds=0) is not None
    untaken = generations.create(job.id, NEW, step=20, seconds=0)
    in_time = generations.create(job.id, NEW, step=20, seconds=60)
    assert set(generations.expire()) == {taken.id, untaken.id}
    errors = {one.id: one.error for one in generations.list(job.id)}
    assert {id_: error and error.code for id_, error in errors.items()} == {
        taken.id: "generator_lost",
        untaken.id: "no_generator",
        in_time.id: None,
    }


def test_a_job_lists_its_own_newest_first(
    generations: GenerationStore, job: Job, asked: Generation
) -> None:
    newer = generations.create(job.id, NEW, step=20, seconds=60)
    assert generations.list(job.id) == [newer, asked]
    assert generations.list(job.id, limit=1, before=newer.id) == [asked]
    with pytest.raises(JobNotFound):
        generations.list("job_none")


def test_they_go_with_their_job(
    generations: GenerationStore, job: Job, asked: Generation, database_url: str
) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        for table in (outbox, events):
            connection.execute(delete(table).where(table.c.job_id == job.id))
        connection.execute(delete(jobs).where(jobs.c.id == job.id))
    engine.dispose()
    with pytest.raises(GenerationNotFound):
        generations.get(job.id, asked.id)


@pytest.mark.parametrize(
    "change",
    [{"max_new_tokens": 0}, {"max_new_tokens": 5000}, {"top_p": 0}, {"prompt": "a\0"}, {"n": 1}],
)
def test_what_cannot_be_sampled_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        NewGeneration.model_validate({"prompt": "a", **change})
