"""The garbage that killed processes leave on the disk of this machine."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import Timeout

from jobs.backends import Backends, open_backends
from jobs.garbage import local_disk
from jobs.garbage.local_disk import collect_leftovers, lock_of_copy, needless_copies
from jobs.schemas.job import JobSpec
from jobs.schemas.status import JobError, JobStatus
from jobs.settings import Settings
from tests.fixtures.databases import MakeTables


@pytest.fixture
def backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_tables: MakeTables) -> Backends:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(local_disk, "gettempdir", lambda: str(tmp_path / "tmp"))
    settings = Settings(data_dir=tmp_path / "data", broker_url="redis://127.0.0.1:9/0")
    make_tables(settings.data_dir)
    return open_backends(settings)


def make(folder: Path, *, old: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"12345")
    if old:
        for path in (folder / "file", folder):
            os.utime(path, (0, 0))
    return folder


def begin_with(backends: Backends, spec: JobSpec, staged: str) -> Path:
    """Return the workdir of an attempt of a new job that has staged its sources as JSON says."""
    workdir = make(backends.settings.scratch_dir / backends.store.create(spec).id / "attempt-1")
    (workdir / "staged.json").write_text(staged)
    return workdir


def test_what_nobody_writes_to_any_more_is_removed(backends: Backends, tmp_path: Path) -> None:
    places = {
        "scratch folder": backends.settings.scratch_dir / "job_gone",
        "copy of a deleted dataset": backends.settings.cache_dir / "default/staged/ds_gone",
        "unused copy": backends.settings.cache_dir / "default/staged/0123abcd",
        "unfinished copy": backends.settings.cache_dir / "default/staged/.x.tmp",
        "temporary folder": tmp_path / "tmp/relora-upload-x",
    }
    for folder in places.values():
        make(folder)
    new = [
        make(backends.settings.scratch_dir / "job_new", old=False),
        make(backends.settings.cache_dir / "default/staged/.y.tmp", old=False),
        make(tmp_path / "tmp/relora-upload-y", old=False),
        make(backends.settings.cache_dir / "default/staged/4567cdef", old=False),
        make(tmp_path / "tmp/of-another-program"),
    ]
    for dry_run in (True, False):
        found = list(collect_leftovers(backends, dry_run=dry_run))
        assert {one.kind: (one.where, one.files, one.size) for one in found} == {
            kind: (str(folder), 1, 5) for kind, folder in places.items()
        }
        assert all(folder.exists() is dry_run for folder in places.values())
    assert all(folder.exists() for folder in new)


def test_a_copy_that_a_job_still_reads_stays_however_old_it_is(
    backends: Backends, spec: JobSpec
) -> None:
    copy = make(backends.settings.cache_dir / "default/staged/0123abcd")
    workdir = begin_with(backends, spec, f'{{"s3://b/*": "{copy}/*"}}')
    assert list(collect_leftovers(backends, dry_run=False)) == []
    shutil.rmtree(workdir)
    (found,) = collect_leftovers(backends, dry_run=False)
    assert (found.kind, found.where) == ("unused copy", str(copy))
    assert not copy.exists()


def test_a_copy_that_an_attempt_begins_with_during_the_search_stays(backends: Backends) -> None:
    staged = backends.settings.cache_dir / "default/staged"
    copies = {str(copy): copy for copy in (make(staged / "0123abcd"), make(staged / "4567cdef"))}
    search = collect_leftovers(backends, dry_run=False)
    removed = copies.pop(next(search).where)
    (begun_with,) = copies.values()
    with lock_of_copy(begun_with):
        begun_with.touch()
    assert list(search) == []
    assert (removed.exists(), begun_with.exists()) == (False, True)


def test_an_attempt_waits_for_a_copy_that_is_being_removed(backends: Backends) -> None:
    copy = make(backends.settings.cache_dir / "default/staged/0123abcd")
    search = needless_copies(backends)
    assert next(search) == ("unused copy", copy)
    with pytest.raises(Timeout):
        lock_of_copy(copy).acquire(timeout=0)
    assert list(search) == []
    with lock_of_copy(copy).acquire(timeout=0):
        assert copy.exists()


@pytest.mark.parametrize("name", ["0123abcd", "ds_gone", ".0123abcd.tmp"])
def test_a_copy_that_an_attempt_has_locked_stays(backends: Backends, name: str) -> None:
    staged = backends.settings.cache_dir / "default/staged"
    folder = make(staged / name)
    with lock_of_copy(staged / name.removeprefix(".").removesuffix(".tmp")):
        assert list(collect_leftovers(backends, dry_run=False)) == []
    assert [found.where for found in collect_leftovers(backends, dry_run=False)] == [str(folder)]
    assert not folder.exists()


def test_a_copy_of_a_deleted_dataset_stays_while_an_attempt_reads_it(
    backends: Backends, spec: JobSpec
) -> None:
    copy = make(backends.settings.cache_dir / "default/staged/ds_gone")
    begin_with(backends, spec, f'{{"upload://ds_gone": "{copy}/text.jsonl"}}')
    assert list(collect_leftovers(backends, dry_run=False)) == []
    assert copy.exists()


def test_a_model_that_is_nowhere_else_stays(backends: Backends, spec: JobSpec) -> None:
    folders = []
    for code in ("model_not_uploaded", "trainer_crashed"):
        job = backends.store.create(spec)
        backends.attempts.claim(job.id, worker="w", lease_seconds=60)
        folders.append(make(backends.settings.scratch_dir / job.id, old=False))
        error = JobError(code=code, message="m")
        backends.attempts.finish(job.id, 1, JobStatus.FAILED, error=error)
    running = backends.store.create(spec)
    folders.append(make(backends.settings.scratch_dir / running.id))
    list(collect_leftovers(backends, dry_run=False))
    assert [folder.exists() for folder in folders] == [True, False, True]


def test_a_link_among_the_temporary_files_is_not_followed(
    backends: Backends, tmp_path: Path
) -> None:
    precious = make(tmp_path / "precious")
    (tmp_path / "tmp/relora-upload-z").symlink_to(precious)
    assert list(collect_leftovers(backends, dry_run=False)) == []
    assert (precious / "file").exists()
