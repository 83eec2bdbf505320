"""Storage in a bucket of S3, or of any server that speaks its protocol.

Address, region and credentials come from where every AWS tool takes them: AWS_ENDPOINT_URL,
AWS_REGION, AWS_ACCESS_KEY_ID, ..., a profile, or the machine's role. A job may have credentials
of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from jobs.errors import StorageError
from jobs.storage.credentials import S3Credentials
from jobs.storage.protocol import CHUNK_BYTES, StoredFile, check_key, check_prefix

if TYPE_CHECKING:
    from botocore.response import StreamingBody

_MISSING = {"404", "NoSuchKey", "NotFound"}
_THERE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_UNCONDITIONAL = {"NotImplemented", "501"}  # of servers that know no such condition
_DELETE_AT_ONCE = 1000  # the most that one request may name
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    signature_version="s3v4",  # of links too, which are else signed the old way
    retries={"mode": "standard", "max_attempts": 5},
    # Not every server knows the newer checksums; the manifests' sha256 is checked in any case.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Storage:
    def __init__(
        self, bucket: str, prefix: str = "", credentials: S3Credentials | None = None
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        # A session of its own: boto3's default one is not safe to use from many threads.
        self._client = _session(credentials).client("s3", config=_CONFIG)

    def ping(self) -> None:
        with self._named_errors(""):
            self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    def upload(self, file: Path, key: str) -> None:
        name = self._name(key)
        with self._named_errors(key):
            self._client.upload_file(str(file), self.bucket, name)

    def create(self, key: str, content: bytes) -> bool:
        name = self._name(key)
        with self._named_errors(key):
            try:
                self._client.put_object(Bucket=self.bucket, Key=name, Body=content, IfNoneMatch="*")
            except ClientError as error:
                match error.response["Error"]["Code"]:
                    case code if code in _THERE:
                        return False
                    case code if code in _UNCONDITIONAL:
                        self._client.put_object(Bucket=self.bucket, Key=name, Body=content)
                    case _:
                        raise
        return True

    def download(self, key: str, file: Path) -> None:
        name = self._name(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._named_errors(key):
            self._client.download_file(self.bucket, name, str(file))

    def list(self, prefix: str) -> Iterator[StoredFile]:
        # Not every server sorts by byte, as S3 does.
        yield from sorted(self._find(check_prefix(prefix)), key=lambda file: file.key)

    def _find(self, folder: str) -> Iterator[StoredFile]:
        root = f"{self.prefix}/" if self.prefix else ""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=root + folder
        )
        with self._named_errors(folder):
            for page in pages:
                for item in page.get("Contents", []):
                    key = item["Key"].removeprefix(root)
                    if folder in {"", key} or key.startswith(folder + "/"):
                        yield StoredFile(key, item["Size"], version=item["ETag"])

    def delete(self, prefix: str) -> None:
        names = [self._name(file.key) for file in self.list(prefix)]
        for start in range(0, len(names), _DELETE_AT_ONCE):
            batch = names[start : start + _DELETE_AT_ONCE]
            with self._named_errors(prefix):
                answer = self._client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": [{"Key": name} for name in batch], "Quiet": True},
                )
            if errors := answer.get("Errors"):
                raise self._error(prefix, errors[0].get("Message", "not deleted"))

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        name = self._name(key)
        with self._named_errors(key):
            size = self._client.head_object(Bucket=self.bucket, Key=name)["ContentLength"]
        end = size if end is None else min(end, size)
        if start >= end:
            return iter(())
        with self._named_errors(key):
            answer = self._client.get_object(
                Bucket=self.bucket, Key=name, Range=f"bytes={start}-{end - 1}"
            )
        return self._chunks(key, answer["Body"])

    def link(self, key: str, *, expires_seconds: int, filename: str, media_type: str) -> str | None:
        return self._client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self.bucket,
                "Key": self._name(key),
                "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(filename)}",
                "ResponseContentType": media_type,
            },
            ExpiresIn=expires_seconds,
        )

    def _chunks(self, key: str, body: "StreamingBody") -> Iterator[bytes]:
        with self._named_errors(key), body:
            yield from body.iter_chunks(CHUNK_BYTES)

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{check_key(key)}".lstrip("/")

    def _error(self, key: str, reason: object) -> StorageError:
        address = "/".join(part for part in (self.bucket, self.prefix, key) if part)
        return StorageError(f"The storage failed at s3://{address}: {reason}")

    @contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            if error.response["Error"]["Code"] in _MISSING:
                raise FileNotFoundError(key) from error
            raise self._error(key, error) from error
        except FileNotFoundError:
            raise
        except (BotoCoreError, Boto3Error, OSError) as error:
            raise self._error(key, error) from error


def _session(credentials: S3Credentials | None) -> boto3.Session:
    if credentials is None:
        return boto3.Session()
    return boto3.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
    )
