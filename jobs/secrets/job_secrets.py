"""The decrypted secrets of a job."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from jobs.schemas.secret_names import S3_KEY, S3_KEY_ID, S3_TOKEN
from jobs.secrets.masking import begun, mask
from jobs.storage import S3Credentials


@dataclass(frozen=True)
class JobSecrets:
    """The values of a job's secrets, by the names of their environment variables."""

    environment: Mapping[str, str] = field(repr=False)

    @cached_property
    def masked(self) -> Callable[[str], str]:
        """A function that masks the values in a text."""
        return mask(self.environment.values())

    @cached_property
    def begun(self) -> Callable[[str], int]:
        """A function that counts the characters at the end of a text that may begin a value."""
        return begun(self.environment.values())

    @property
    def s3(self) -> S3Credentials | None:
        if S3_KEY_ID not in self.environment:
            return None
        return S3Credentials(
            access_key_id=self.environment[S3_KEY_ID],
            secret_access_key=self.environment[S3_KEY],
            session_token=self.environment.get(S3_TOKEN),
        )
