"""What the trainer made goes to the storage, in the background, and is listed once it is whole."""

import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import format_exception
from types import TracebackType
from typing import Self

from jobs.errors import LeaseLost, StorageError, StorageRefused
from jobs.garbage.storage import unlisted_files
from jobs.locations.folders import ATTEMPTS
from jobs.outages import log_failure
from jobs.schemas.artifacts import ArtifactKind
from jobs.schemas.job import Artifact
from jobs.store.artifacts import folder_of
from relora_core.checkpoint.manifest import MANIFEST, read_manifest
from relora_core.counted import counted
from relora_core.errors import CheckpointError
from relora_core.events import AnyTrainEvent, CheckpointSaved, Exported, Rewound, SpectrumMeasured
from relora_core.files import sha256
from relora_core.workdir.files import (
    FINAL,
    MERGED,
    REPORTS,
    checkpoint_path,
    merged_path,
    step_folders,
)
from worker.attempt.attempt import Attempt
from worker.attempt.retry import RETRIED
from worker.attempt.workdir import Workdir
from worker.failures import told
from worker.transfers.output_checks import take_output
from worker.transfers.pending import Pending, PendingCheckpoints, keep

logger = logging.getLogger(__name__)


class Uploads:
    """One thread, in the order of the events; but of checkpoints the newest goes first."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._root = attempt.workdir.root
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"uploads-{attempt.job.id}")
        self._futures: list[Future[None]] = []
        self._pending = PendingCheckpoints(attempt.workdir, attempt.job.spec.checkpoint)
        self._passed_over: list[int] = []
        self._warn_from = 1
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
        """At the start, so that a job which may not write there fails before it trains.

        Raises `LocationRefused`, `StorageRefused`. With the storage away it is done before the
        first upload.
        """
        try:
            take_output(self._attempt)
            self._place_is_ours = True
        except StorageRefused:
            raise
        except RETRIED as error:
            logger.warning("job %s: its output is not reached: %s", self._attempt.job.id, error)

    def note(self, event: AnyTrainEvent) -> None:
        """Upload what the event says is complete."""
        match event:
            case CheckpointSaved(step=step):
                self._keep(step)
                if self._attempt.job.spec.trackers:  # some write files, as TensorBoard
                    self._submit(partial(self._reports, self._attempt.workdir))
            case Rewound(to_step=step):
                self._pending.undo_after(step)
                self._submit(self._take_turn)
            case Exported(path=path, step=step):
                kind: ArtifactKind = "final" if path == FINAL else "merged"
                self._submit(partial(self._export, self._root / path, path, kind, step))
            case SpectrumMeasured():
                self._submit(partial(self._reports, self._attempt.workdir))

    def note_log(self, workdir: Workdir) -> None:
        """Upload what an attempt printed, and its reports; failing at it is no failure."""
        self._submit(partial(self._log, workdir))
        self._submit(partial(self._reports, workdir))

    def note_exports(self, earlier: Workdir, *, up_to: int) -> None:
        """Upload the merged models that an earlier attempt was lost with; those of later steps
        than `up_to` are made again."""
        for step, folder in step_folders(earlier.root / MERGED).items():
            if step <= up_to:
                self._submit(partial(self._lost_export, folder, step))

    def finish(self) -> None:
        """Wait for all; raise why a model could not be uploaded, if so."""
        while wait(self._futures, timeout=1).not_done:
            self._attempt.lease.check()
        for upload in self._futures:
            upload.result()

    def _failed(self) -> bool:
        return any(future.done() and future.exception() for future in self._futures)

    def _submit(self, upload: Callable[[], None]) -> None:
        future = self._pool.submit(upload)
        future.add_done_callback(self._tell)
        self._futures.append(future)

    def _tell(self, upload: Future[None]) -> None:
        """At once, not first at the end of the run."""
        error = None if upload.cancelled() else upload.exception()
        if error is not None and not isinstance(error, LeaseLost):
            trace = self._attempt.secrets.masked("".join(format_exception(error)))
            logger.error("job %s: an upload failed\n%s", self._attempt.job.id, trace)

    def _keep(self, step: int) -> None:
        """One that the trainer deleted already made room for a later one."""
        try:
            self._passed_over += self._pending.add(step)
        except FileNotFoundError:
            logger.info("job %s: step %d made room before its upload", self._attempt.job.id, step)
        except OSError as error:
            path = checkpoint_path(step)
            self._attempt.warn("checkpoint_not_uploaded", f"{path} cannot be kept for it: {error}")
        else:
            self._submit(self._take_turn)

    def _take_turn(self) -> None:
        with self._pending.turn() as turn:
            if turn.undone_after is not None:
                self._delete_undone(turn.undone_after)
            if turn.newest is not None:
                self._checkpoint(turn.newest)

    def _checkpoint(self, pending: Pending) -> None:
        """A later one will do as well, so a failure is a warning."""
        path = checkpoint_path(pending.step)
        started = time.monotonic()
        try:
            manifest = read_manifest(pending.folder)
            known = {name: file.sha256 for name, file in manifest.files.items()}
            self._folder(pending.folder, path, "checkpoint", pending.step, known)
            self._delete_expired()
        except (*RETRIED, CheckpointError) as error:
            self._attempt.warn(
                "checkpoint_not_uploaded", f"{path} is on the worker alone: {told(error)}"
            )
        else:
            if not self._failed():  # they may have what an upload that failed is made of
                self._attempt.workdir.remove_earlier()
            self._warn_if_behind(pending, manifest.bytes, time.monotonic() - started)

    def _warn_if_behind(self, stored: Pending, num_bytes: int, seconds: float) -> None:
        """When the first checkpoint was passed over, and each time it has become twice as many."""
        if len(self._passed_over) < self._warn_from:
            return
        self._warn_from = 2 * len(self._passed_over)
        one, many = "checkpoint of this attempt was", "checkpoints of this attempt were"
        passed_over = counted(len(self._passed_over), one, many)
        self._attempt.warn(
            "storage_behind",
            f"checkpoints are saved faster than the storage takes them: step {stored.step} "
            f"({num_bytes / 1e6:.1f} MB) took {seconds:.1f} s. The newest is uploaded first; "
            f"{passed_over} passed over, the last of step {max(self._passed_over)}. "
            "A larger checkpoint.every or a faster storage helps",
        )

    def _delete_expired(self) -> None:
        """Counts the checkpoints of earlier attempts too, which this trainer may not know of.

        One that another job is to begin with stays; the next checkpoint asks again.
        """
        self._expire(self._attempt.job.spec.checkpoint.expired(self._uploaded_steps()))

    def _delete_undone(self, rewound_to: int) -> None:
        """Those that a rewind left behind: a later attempt must not go on from them."""
        try:
            self._expire(step for step in self._uploaded_steps() if step > rewound_to)
        except RETRIED as error:
            message = f"checkpoints after step {rewound_to} are still listed: {told(error)}"
            self._attempt.warn("checkpoint_not_deleted", message)

    def _uploaded_steps(self) -> list[int]:
        attempt = self._attempt
        artifacts = attempt.retry_while_leased(
            partial(attempt.backends.store.artifacts, attempt.job.id)
        )
        return sorted({file.step for file in artifacts if file.kind == "checkpoint" and file.step})

    def _expire(self, steps: Iterable[int]) -> None:
        attempt = self._attempt
        for step in steps:
            path = checkpoint_path(step)
            expire = partial(attempt.store.expire_artifacts, attempt.job.id, attempt.number, path)
            self._delete(attempt.retry_while_leased(expire))

    def _folder(
        self,
        folder: Path,
        path: str,
        kind: ArtifactKind,
        step: int | None,
        known: Mapping[str, str] | None = None,
    ) -> None:
        """Upload all files of a folder, and list them below `path` instead of earlier ones.

        `known` has the sha256 of files that need not be read for it.
        """
        files = [file for file in folder.rglob("*") if file.is_file()]
        files.sort(key=lambda file: (file.name == MANIFEST, file))  # nothing after the manifest
        started = time.monotonic()
        upload = self._begin(kind, step)
        names = [file.relative_to(folder).as_posix() for file in files]
        artifacts = [
            upload(file, f"{path}/{name}", (known or {}).get(name))
            for file, name in zip(files, names, strict=True)
        ]
        if kind == "final":
            self._publish(artifacts)
        self._list(artifacts, folder=path)
        num_bytes = sum(artifact.size for artifact in artifacts)
        self._count(kind, num_bytes, time.monotonic() - started)

    def _export(self, folder: Path, path: str, kind: ArtifactKind, step: int) -> None:
        """From links: after a rewind the trainer may export the same step again meanwhile."""
        with TemporaryDirectory(dir=self._root) as name:
            kept = Path(name) / "export"
            try:
                keep(folder, kept)
            except FileNotFoundError:  # it is being replaced, and the next event tells of it
                logger.info("job %s: %s is exported again", self._attempt.job.id, path)
            else:
                self._folder(kept, path, kind, step)

    def _lost_export(self, folder: Path, step: int) -> None:
        path = merged_path(step)
        attempt = self._attempt
        files = attempt.retry_while_leased(
            partial(attempt.backends.store.artifacts, attempt.job.id)
        )
        if not any(folder_of(file) == path for file in files):
            self._folder(folder, path, "merged", step)

    def _log(self, workdir: Workdir) -> None:
        """From a copy without the values of secrets."""
        if not workdir.log.exists():
            return
        try:
            with TemporaryDirectory(dir=self._root) as name:
                copy = Path(name) / workdir.log.relative_to(workdir.root)
                copy.parent.mkdir()
                self._copy_masked(workdir.log, copy)
                path = copy.relative_to(name).as_posix()
                self._list([self._begin("log", None)(copy, path)])
            forget = self._attempt.backends.logs.forget
            self._attempt.retry_while_leased(partial(forget, self._attempt.job.id, workdir.attempt))
        except RETRIED as error:
            self._attempt.warn("log_not_uploaded", f"the log is on the worker alone: {told(error)}")

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
            with TemporaryDirectory(dir=self._root) as name:
                root = Path(name)
                copy = shutil.copytree(
                    workdir.reports,
                    root / REPORTS,
                    ignore=shutil.ignore_patterns(".*", "latest-run"),
                )
                files = sorted(file for file in copy.rglob("*") if file.is_file())
                upload = self._begin("report", None)
                self._list([upload(file, file.relative_to(root).as_posix()) for file in files])
        except RETRIED as error:
            self._attempt.warn(
                "report_not_uploaded", f"reports are on the worker alone: {told(error)}"
            )

    def _begin(self, kind: ArtifactKind, step: int | None) -> "Upload":
        """Files that are stored from now on get keys that no other upload has or will have.

        So an attempt that lost its job and wakes up in the middle of an upload, or a request that
        arrives late, can change no file that is listed.
        """
        self._check_place()
        prefix = f"{ATTEMPTS}/{self._attempt.number}/{secrets.token_hex(4)}"
        return Upload(self._attempt, prefix, kind, step)

    def _list(self, artifacts: Sequence[Artifact], folder: str | None = None) -> None:
        """What was listed in their place goes from the storage, too."""
        attempt = self._attempt
        add = partial(attempt.store.add_artifacts, attempt.job.id, attempt.number, artifacts)
        self._delete(attempt.retry_while_leased(partial(add, folder=folder)))

    def _delete(self, keys: Sequence[str]) -> None:
        """What the storage keeps is in no list any more, and is found by it later."""
        try:
            self._attempt.storage.delete_files(keys)
        except StorageError as error:
            logger.warning("job %s: files were not deleted: %s", self._attempt.job.id, error)

    def _publish(self, artifacts: Sequence[Artifact]) -> None:
        """A place that the spec names has the final model under its plain names, too."""
        attempt = self._attempt
        if attempt.job.spec.output_uri is None:
            return
        if attempt.number > 1:
            attempt.retry_while_leased(self._end_earlier_copies)
        for artifact in artifacts:
            attempt.retry_while_leased(partial(attempt.storage.copy, artifact.key, artifact.path))

    def _end_earlier_copies(self) -> None:
        """Plain names have no attempt, so an earlier one that wakes up could still copy to them.

        Without its own files it has nothing to copy, and what it began it cannot finish.
        """
        attempt = self._attempt
        try:
            left = unlisted_files(attempt.backends, attempt.job, attempt.storage)
            attempt.storage.delete_files(file.key for file in left)
            for copy in attempt.storage.unfinished(FINAL):
                copy.remove()
        except StorageRefused as error:
            logger.warning("job %s: an earlier attempt may copy still: %s", attempt.job.id, error)

    def _count(self, kind: ArtifactKind, num_bytes: int, seconds: float) -> None:
        """For operators; without it nothing is wrong."""
        try:
            stats = self._attempt.backends.stats
            stats.add_upload(kind, num_bytes=num_bytes, seconds=seconds)
        except Exception as error:
            log_failure(logger, f"count an upload of job {self._attempt.job.id}", error)

    def _check_place(self) -> None:
        if not self._place_is_ours:
            self._attempt.retry_while_leased(partial(take_output, self._attempt))
            self._place_is_ours = True


@dataclass(frozen=True)
class Upload:
    """Files that are stored together, below a prefix of their own."""

    attempt: Attempt
    prefix: str
    kind: ArtifactKind
    step: int | None

    def __call__(self, file: Path, path: str, digest: str | None = None) -> Artifact:
        """Store a file that is to be listed as `path`."""
        artifact = Artifact(
            path=path,
            kind=self.kind,
            step=self.step,
            size=file.stat().st_size,
            sha256=digest or sha256(file),
            key=f"{self.prefix}/{path}",
            created_at=datetime.now(UTC),
        )
        self.attempt.retry_while_leased(partial(self.attempt.storage.upload, file, artifact.key))
        return artifact
