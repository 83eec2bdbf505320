"""What the trainer made goes to the storage, in the background, and is listed once it is whole."""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Literal, Self

from sqlalchemy.exc import SQLAlchemyError

from jobs.models import Artifact
from relora_core.errors import CheckpointError
from relora_core.events import AnyTrainEvent, CheckpointSaved, Exported, Rewound, SpectrumMeasured
from relora_core.files import sha256
from relora_core.manifest import MANIFEST, read_manifest
from worker.attempt import Attempt
from worker.output import take_output
from worker.patience import OUTAGES
from worker.workdir import Workdir, checkpoint_path

logger = logging.getLogger(__name__)

Kind = Literal["checkpoint", "merged", "final", "log", "report"]


class Uploads:
    """One thread, in the order of the events. A path in the workdir is the key in the storage."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._root = attempt.workdir.root
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"uploads-{attempt.job.id}")
        self._pending: list[Future[None]] = []
        self._place_is_ours = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def take_place(self) -> None:
        """At the start, so that a job whose place is another's fails before it trains.

        Raises `LocationRefused`. With the storage away it is done before the first upload.
        """
        try:
            take_output(self._attempt)
            self._place_is_ours = True
        except OUTAGES as error:
            logger.warning("job %s: its output is not reached: %s", self._attempt.job.id, error)

    def note(self, event: AnyTrainEvent) -> None:
        """Upload what the event says is complete."""
        match event:
            case CheckpointSaved(step=step):
                self._submit(partial(self._checkpoint, step))
                if self._attempt.job.spec.trackers:  # some write files, as TensorBoard
                    self._submit(partial(self._reports, self._attempt.workdir))
            case Rewound(to_step=step):
                self._submit(partial(self._delete_undone, step))
            case Exported(path=path, step=step):
                kind: Kind = "final" if path == "final" else "merged"
                self._submit(partial(self._folder, path, kind, step))
            case SpectrumMeasured():
                self._submit(partial(self._reports, self._attempt.workdir))

    def note_log(self, workdir: Workdir) -> None:
        """Upload what an attempt printed, and its reports; failing at it is no failure."""
        self._submit(partial(self._log, workdir))
        self._submit(partial(self._reports, workdir))

    def finish(self) -> None:
        """Wait for all; raise why a model could not be uploaded, if so."""
        while wait(self._pending, timeout=1).not_done:
            self._attempt.lease.check()
        for upload in self._pending:
            upload.result()

    def _submit(self, upload: Callable[[], None]) -> None:
        self._pending.append(self._pool.submit(upload))

    def _checkpoint(self, step: int) -> None:
        """A later one will do as well, so a failure is a warning and a deleted one is skipped."""
        path = checkpoint_path(step)
        try:
            manifest = read_manifest(self._root / path)
            known = {name: file.sha256 for name, file in manifest.files.items()}
            self._folder(path, "checkpoint", step, known)
            self._delete_expired()
        except (CheckpointError, FileNotFoundError):
            logger.info("job %s: %s made room before its upload", self._attempt.job.id, path)
            self._clear(path)
        except OUTAGES as error:
            self._attempt.warn("checkpoint_not_uploaded", f"{path} is on the worker alone: {error}")
        else:
            self._attempt.workdir.remove_earlier()

    def _delete_expired(self) -> None:
        """Counts the checkpoints of earlier attempts too, which this trainer may not know of.

        One that another job is to begin with stays; the next checkpoint asks again.
        """
        self._expire(self._attempt.job.spec.checkpoint.expired(self._uploaded_steps()))

    def _delete_undone(self, rewound_to: int) -> None:
        """Those that a rewind left behind: a later attempt must not go on from them."""
        try:
            self._expire(step for step in self._uploaded_steps() if step > rewound_to)
        except OUTAGES as error:
            message = f"checkpoints after step {rewound_to} are still listed: {error}"
            self._attempt.warn("checkpoint_not_deleted", message)

    def _uploaded_steps(self) -> list[int]:
        attempt = self._attempt
        artifacts = attempt.insist(partial(attempt.backends.store.artifacts, attempt.job.id))
        return sorted({file.step for file in artifacts if file.kind == "checkpoint" and file.step})

    def _expire(self, steps: Iterable[int]) -> None:
        attempt = self._attempt
        for step in steps:
            path = checkpoint_path(step)
            expire = partial(attempt.store.expire_artifacts, attempt.job.id, attempt.number, path)
            if attempt.insist(expire):
                attempt.insist(partial(attempt.storage.delete, path))

    def _folder(
        self, path: str, kind: Kind, step: int | None, known: Mapping[str, str] | None = None
    ) -> None:
        """Upload all files below `path`, in place of those of an earlier attempt.

        `known` has the sha256 of files that need not be read for it.
        """
        folder = self._root / path
        files = [file for file in folder.rglob("*") if file.is_file()]
        files.sort(key=lambda file: (file.name == MANIFEST, file))  # nothing after the manifest
        self._clear(path)
        started = time.monotonic()
        num_bytes = self._list(
            self._file(self._root, file, kind, step, (known or {}).get(file.name)) for file in files
        )
        self._count(kind, num_bytes, time.monotonic() - started)

    def _log(self, workdir: Workdir) -> None:
        """From a copy without the values of secrets."""
        if not workdir.log.exists():
            return
        try:
            with TemporaryDirectory() as name:
                copy = Path(name) / workdir.log.relative_to(workdir.root)
                copy.parent.mkdir()
                self._copy_masked(workdir.log, copy)
                self._list([self._file(Path(name), copy, "log", None)])
            forget = self._attempt.backends.logs.forget
            self._attempt.insist(partial(forget, self._attempt.job.id, workdir.attempt))
        except OUTAGES as error:
            self._attempt.warn("log_not_uploaded", f"the log is on the worker alone: {error}")

    def _copy_masked(self, log: Path, copy: Path) -> None:
        masked = self._attempt.secrets.masked
        with (
            log.open(encoding="utf-8", errors="surrogateescape", newline="") as lines,
            copy.open("w", encoding="utf-8", errors="surrogateescape", newline="") as writer,
        ):
            writer.writelines(masked(line) for line in lines)

    def _reports(self, workdir: Workdir) -> None:
        """From a copy: the trainer may write them anew meanwhile, and the list has their hash."""
        if not workdir.reports.exists():
            return
        try:
            with TemporaryDirectory() as name:
                root = Path(name)
                copy = shutil.copytree(
                    workdir.reports,
                    root / "reports",
                    ignore=shutil.ignore_patterns(".*", "latest-run"),
                )
                files = sorted(file for file in copy.rglob("*") if file.is_file())
                self._list([self._file(root, file, "report", None) for file in files])
        except OUTAGES as error:
            self._attempt.warn("report_not_uploaded", f"reports are on the worker alone: {error}")

    def _file(
        self, root: Path, file: Path, kind: Kind, step: int | None, digest: str | None = None
    ) -> Artifact:
        self._check_place()
        key = file.relative_to(root).as_posix()
        artifact = Artifact(
            path=key,
            kind=kind,
            step=step,
            size=file.stat().st_size,
            sha256=digest or sha256(file),
            created_at=datetime.now(UTC),
        )
        self._attempt.insist(partial(self._send, file, key))
        return artifact

    def _send(self, file: Path, key: str) -> None:
        if not file.exists():  # deleted meanwhile: no outage of the storage, as S3 would say
            raise FileNotFoundError(file)
        self._attempt.storage.upload(file, key)

    def _list(self, artifacts: Iterable[Artifact]) -> int:
        """Return the size of all."""
        attempt, whole = self._attempt, list(artifacts)
        attempt.insist(partial(attempt.store.add_artifacts, attempt.job.id, attempt.number, whole))
        return sum(artifact.size for artifact in whole)

    def _count(self, kind: Kind, num_bytes: int, seconds: float) -> None:
        """For operators; without it nothing is wrong."""
        try:
            vitals = self._attempt.backends.vitals
            vitals.add_upload(kind, num_bytes=num_bytes, seconds=seconds)
        except SQLAlchemyError as error:
            logger.warning("job %s: an upload is not counted: %s", self._attempt.job.id, error)

    def _clear(self, path: str) -> None:
        """First from the list: what is listed is whole. It also asks whether the job is ours."""
        attempt = self._attempt
        self._check_place()
        attempt.insist(
            partial(attempt.store.remove_artifacts, attempt.job.id, attempt.number, path)
        )
        attempt.insist(partial(attempt.storage.delete, path))

    def _check_place(self) -> None:
        if not self._place_is_ours:
            self._attempt.insist(partial(take_output, self._attempt))
            self._place_is_ours = True
