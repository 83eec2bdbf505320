"""The upload of some files to the storage, with the artifacts that list them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jobs.schemas.artifacts import ArtifactKind
from jobs.schemas.job import Artifact
from relora_core.files import sha256
from worker.attempt.attempt import Attempt


@dataclass(frozen=True)
class Upload:
    """An upload of several files, below their own key prefix."""

    attempt: Attempt
    prefix: str
    kind: ArtifactKind
    step: int | None

    def __call__(self, file: Path, path: str, digest: str | None = None) -> Artifact:
        """Store a file, and return the artifact to list as `path`."""
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
