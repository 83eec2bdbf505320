"""Uploads of checkpoints, models, logs and reports to the storage, in the background.

A file is listed as an artifact only when its upload is complete.
"""

import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from traceback import format_exception
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
from relora_core.events import (
    AnyTrainEvent,
    CheckpointSaved,
    Exported,
    ProfileSaved,
    RestartReported,
    Rewound,
    SpectrumMeasured,
)
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
from worker.transfers.upload import Upload

logger = logging.getLogger(__name__)


class Uploads:
    """The uploads of an attempt, done by one thread in the order of the events.

    Of several waiting checkpoints, the newest is uploaded first.
    """

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

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def take_place(self) -> None:
        """Claim the output location before training, so that a job without access fails early.

        Raise `LocationRefused` or `StorageRefused`. During an outage of the storage, postpone the
        claim to the first upload.
        """
        try:
            take_output(self._attempt)
            self._place_is_ours = True
        except StorageRefused:
            raise
        except RETRIED as error:
            logger.warning("job %s: its output is not reached: %s", self._attempt.job.id, error)

    def note(self, event: AnyTrainEvent) -> None:
        """Upload the files that are complete according to the event."""
        match event:
            case CheckpointSaved(step=step, best_step=best):
                self._keep(step, best)
                if self._attempt.job.spec.trackers:  # some write reports, such as TensorBoard
                    self._submit(partial(self._reports, self._attempt.workdir))
            case Rewound(to_step=step):
                self._pending.undo_after(step)
                self._submit(self._take_turn)
            case Exported(path=path, step=step):
                kind: ArtifactKind = "final" if path == FINAL else "merged"
                self._submit(partial(self._export, self._root / path, path, kind, step))
            case ProfileSaved(path=path, from_step=step):
                self._submit(partial(self._profile, self._root / path, path, step))
            case SpectrumMeasured() | RestartReported():
                self._submit(partial(self._reports, self._attempt.workdir))

    def note_log(self, workdir: Workdir) -> None:
        """Upload the log and the reports of an attempt. An error is only a warning."""
        self._submit(partial(self._log, workdir))
        self._submit(partial(self._reports, workdir))

    def note_exports(self, earlier: Workdir, *, up_to: int) -> None:
        """Upload the merged models of an earlier attempt that was lost before it uploaded them.

        Skip the steps after `up_to`: this attempt exports them again.
        """
        for step, folder in step_folders(earlier.root / MERGED).items():
            if step <= up_to:
                self._submit(partial(self._lost_export, folder, step))

    def finish(self) -> None:
        """Wait for all uploads. Raise the error if a model could not be uploaded."""
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
        """Log the error of an upload at once, not only at the end of the run."""
        error = None if upload.cancelled() else upload.exception()
        if error is not None and not isinstance(error, LeaseLost):
            trace = self._attempt.secrets.masked("".join(format_exception(error)))
            logger.error("job %s: an upload failed\n%s", self._attempt.job.id, trace)

    def _keep(self, step: int, best: int | None) -> None:
        """Keep a checkpoint that the trainer has not deleted yet, and submit its upload."""
        try:
            self._passed_over += self._pending.add(step, best=best)
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
        """Upload a checkpoint. An error is only a warning, because a later one replaces it."""
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
            if not self._failed():  # they may contain the files of a failed upload
                self._attempt.workdir.remove_earlier()
            self._warn_if_behind(pending, manifest.bytes, time.monotonic() - started)

    def _warn_if_behind(self, stored: Pending, num_bytes: int, seconds: float) -> None:
        """Warn when the first checkpoint was skipped, and each time the number has doubled."""
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
        """Delete the stored checkpoints that `CheckpointSpec.expired` no longer keeps.

        Count those of earlier attempts too, which this trainer may not know of. Keep a checkpoint
        that another job will start from; the next checkpoint tries again.
        """
        spec = self._attempt.job.spec.checkpoint
        self._expire(spec.expired(self._uploaded_steps(), best=self._pending.best))

    def _delete_undone(self, rewound_to: int) -> None:
        """Delete the checkpoints after a rewind's target: no later attempt may resume from them."""
        try:
            self._expire(step for step in self._uploaded_steps() if step > rewound_to)
        except RETRIED as error:
            message = f"checkpoints after step {rewound_to} are still listed: {told(error)}"
            self._attempt.warn("checkpoint_not_deleted", message)

    def _uploaded_steps(self) -> list[int]:
        listed = self._listed()
        return sorted({file.step for file in listed if file.kind == "checkpoint" and file.step})

    def _listed(self) -> list[Artifact]:
        attempt = self._attempt
        return attempt.retry_while_leased(partial(attempt.backends.store.artifacts, attempt.job.id))

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
        """Upload all files of a folder, and list them below `path` in place of earlier ones.

        `known` has the sha256 of some files, which are then not hashed again.
        """
        files = [file for file in folder.rglob("*") if file.is_file()]
        files.sort(key=lambda file: (file.name == MANIFEST, file))  # the manifest is the last file
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
        """Upload an exported model from hard links to its files.

        After a rewind, the trainer may export the same step again during the upload.
        """
        with TemporaryDirectory(dir=self._root) as name:
            kept = Path(name) / "export"
            try:
                keep(folder, kept)
            except FileNotFoundError:  # it is being replaced; the next event reports the new one
                logger.info("job %s: %s is exported again", self._attempt.job.id, path)
            else:
                self._folder(kept, path, kind, step)

    def _profile(self, folder: Path, path: str, step: int) -> None:
        """Upload a profile. An error is only a warning."""
        try:
            self._folder(folder, path, "profile", step)
        except RETRIED as error:
            message = f"{path} is on the worker alone: {told(error)}"
            self._attempt.warn("profile_not_uploaded", message)

    def _lost_export(self, folder: Path, step: int) -> None:
        path = merged_path(step)
        if not any(folder_of(file) == path for file in self._listed()):
            self._folder(folder, path, "merged", step)

    def _log(self, workdir: Workdir) -> None:
        """Upload a copy of the log with the values of secrets masked."""
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
        """Upload a copy of the reports.

        The trainer may rewrite a report during the upload, and its listed hash must match.
        """
        if not workdir.reports.exists():
            return
        try:
            with TemporaryDirectory(dir=self._root) as name:
                root = Path(name)
                ignore = shutil.ignore_patterns(".*", "latest-run")
                copy = shutil.copytree(workdir.reports, root / REPORTS, ignore=ignore)
                files = sorted(file for file in copy.rglob("*") if file.is_file())
                upload = self._begin("report", None)
                self._list([upload(file, file.relative_to(root).as_posix()) for file in files])
        except RETRIED as error:
            self._attempt.warn(
                "report_not_uploaded", f"reports are on the worker alone: {told(error)}"
            )

    def _begin(self, kind: ArtifactKind, step: int | None) -> Upload:
        """Return an upload whose keys no other upload ever uses.

        So neither an attempt that lost its job and resumes in the middle of an upload, nor a
        delayed request, can change a listed file.
        """
        self._check_place()
        prefix = f"{ATTEMPTS}/{self._attempt.number}/{secrets.token_hex(4)}"
        return Upload(self._attempt, prefix, kind, step)

    def _list(self, artifacts: Sequence[Artifact], folder: str | None = None) -> None:
        """List the artifacts. Delete the files that they replace from the storage."""
        attempt = self._attempt
        add = partial(attempt.store.add_artifacts, attempt.job.id, attempt.number, artifacts)
        self._delete(attempt.retry_while_leased(partial(add, folder=folder)))

    def _delete(self, keys: Sequence[str]) -> None:
        """Delete unlisted files. If that fails, the garbage collection finds them later."""
        try:
            self._attempt.storage.delete_files(keys)
        except StorageError as error:
            logger.warning("job %s: files were not deleted: %s", self._attempt.job.id, error)

    def _publish(self, artifacts: Sequence[Artifact]) -> None:
        """Copy the final model to its plain names in the output location, if the spec names one."""
        attempt = self._attempt
        if attempt.job.spec.output_uri is None:
            return
        if attempt.number > 1:
            attempt.retry_while_leased(self._end_earlier_copies)
        for artifact in artifacts:
            attempt.retry_while_leased(partial(attempt.storage.copy, artifact.key, artifact.path))

    def _end_earlier_copies(self) -> None:
        """Prevent an earlier attempt that wakes up from copying to the plain names.

        Plain names do not contain the attempt's number. Delete the unlisted files of earlier
        attempts, so that they have nothing to copy, and abort their unfinished copies.
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
        """Count an upload for the statistics of operators. An error is only logged."""
        try:
            self._attempt.backends.stats.add_upload(kind, num_bytes=num_bytes, seconds=seconds)
        except Exception as error:
            log_failure(logger, f"count an upload of job {self._attempt.job.id}", error)

    def _check_place(self) -> None:
        if not self._place_is_ours:
            self._attempt.retry_while_leased(partial(take_output, self._attempt))
            self._place_is_ours = True
