"""Storage in a bucket of S3 or of an S3-compatible server.

The address, the region and the credentials come from the usual AWS configuration:
AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, ..., a profile, or the role of the machine. A job
may have its own credentials.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.loaders import JSONFileLoader
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError
from s3transfer.subscribers import BaseSubscriber

from jobs.errors import StorageError, StorageRefused
from jobs.storage.credentials import S3Credentials
from jobs.storage.protocol import CHUNK_BYTES, StoredFile, Unfinished, check_key, check_prefix

if TYPE_CHECKING:
    from botocore.awsrequest import AWSResponse
    from botocore.model import OperationModel
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import CopySourceTypeDef, GetObjectOutputTypeDef
    from s3transfer.futures import TransferFuture

_MISSING = {"404", "NoSuchKey", "NotFound"}
_THERE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_UNCONDITIONAL = {"NotImplemented", "501"}  # the server does not support `IfNoneMatch`
_NOTHING_THERE = {"InvalidRange", "416"}  # the range begins after the end of the object
_ONE_BY_ONE = {"MissingContentMD5", "NotImplemented"}  # the server cannot delete many at once
_REFUSED_STATUSES = {301, 308, 401, 403}
_REFUSED = {
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "InvalidToken",
    "NoSuchBucket",
    "PermanentRedirect",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
_NO_CREDENTIALS = (NoCredentialsError, PartialCredentialsError)
# Errors before a server answers. The text of any other error may quote the answer.
_BEFORE_AN_ANSWER = (
    *_NO_CREDENTIALS,
    ParamValidationError,
    EndpointConnectionError,
    ConnectTimeoutError,
)
_CODE = re.compile(r"[A-Za-z]{1,64}|[0-9]{3}")
_DELETE_AT_ONCE = 1000  # the most keys that one request may have
_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    signature_version="s3v4",  # presigned URLs would otherwise have the old signature
    retries={"mode": "standard", "total_max_attempts": 3},  # a caller that can wait retries itself
    # Not every server supports the newer checksums. The SHA-256 of the manifests is always checked.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
_TRANSFERS = TransferConfig(preferred_transfer_client="classic")  # the CRT client cannot use `_Pin`


class _Pin(BaseSubscriber):
    """Asks for the same version of an object in each request of its download."""

    def __init__(self, version: str) -> None:
        self._version = version

    def on_queued(self, future: "TransferFuture", **_: object) -> None:
        future.meta.provide_object_etag(self._version)


class S3Storage:
    def __init__(
        self, bucket: str, prefix: str = "", credentials: S3Credentials | None = None
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        # Not boto3's default session, because many threads cannot use it safely.
        self._client = _session(credentials).client("s3", config=_CONFIG)
        self._client.meta.events.register_first("needs-retry.s3", _end_redirects)

    def ping(self) -> None:
        with self._named_errors(""):
            self._client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)

    def check_mounted(self) -> None:
        """Do nothing, because every use of a missing bucket raises an error."""

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

    def download(self, key: str, file: Path, *, version: str = "") -> None:
        name = self._name(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        pins = [_Pin(version)] if version else []
        with self._named_errors(key), create_transfer_manager(self._client, _TRANSFERS) as manager:
            try:
                manager.download(self.bucket, name, str(file), subscribers=pins).result()
            except RetriesExceededError as error:
                raise error.last_exception from error

    def copy(self, key: str, to: str) -> None:
        source: CopySourceTypeDef = {"Bucket": self.bucket, "Key": self._name(key)}
        with self._named_errors(key):
            self._client.copy(source, self.bucket, self._name(to))

    def list(self, prefix: str) -> Iterator[StoredFile]:
        # S3 sorts by byte, but not every compatible server does.
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
                    if key.endswith("/"):  # no file: some tools mark a folder like this
                        continue
                    if folder in {"", key} or key.startswith(folder + "/"):
                        yield StoredFile(
                            key, item["Size"], item["LastModified"], version=item["ETag"]
                        )

    def delete(self, prefix: str) -> None:
        self.delete_files(file.key for file in self.list(prefix))

    def delete_files(self, keys: Iterable[str]) -> None:
        names = [self._name(key) for key in keys]
        for start in range(0, len(names), _DELETE_AT_ONCE):
            self._delete_batch(names[start : start + _DELETE_AT_ONCE])

    def _delete_batch(self, names: Sequence[str]) -> None:
        with self._named_errors(""):
            try:
                answer = self._client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": [{"Key": name} for name in names], "Quiet": True},
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in _ONE_BY_ONE:
                    raise
                for name in names:
                    self._client.delete_object(Bucket=self.bucket, Key=name)
            else:
                for failure in answer.get("Errors", []):
                    raise ClientError({"Error": {"Code": failure.get("Code", "")}}, "DeleteObjects")

    def unfinished(self, folder: str) -> Iterator[Unfinished]:
        with self._named_errors(folder):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=f"{self._name(folder)}/"
            )
            for page in pages:
                for upload in page.get("Uploads", []):
                    named = upload["Key"], upload["UploadId"]
                    yield Unfinished(
                        self._received(*named), upload["Initiated"], partial(self._abort, *named)
                    )

    def _received(self, name: str, upload_id: str) -> int:
        pages = self._client.get_paginator("list_parts").paginate(
            Bucket=self.bucket, Key=name, UploadId=upload_id
        )
        try:
            return sum(part["Size"] for page in pages for part in page.get("Parts", []))
        except self._client.exceptions.NoSuchUpload:  # the upload ended meanwhile
            return 0

    def _abort(self, name: str, upload_id: str) -> None:
        with self._named_errors(""), suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=name, UploadId=upload_id)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        name = self._name(key)
        if start == end:
            return iter(())
        asked = f"bytes={start}-" + ("" if end is None else str(end - 1))
        with self._named_errors(key):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=name, Range=asked)
            except ClientError as error:
                if error.response["Error"]["Code"] in _NOTHING_THERE:
                    return iter(())
                raise
        if not _is_part(answer, start, end):
            answer["Body"].close()
            raise self._error(key, f"asked for {asked}, it sent other bytes")
        return self._chunks(key, answer["Body"])

    def link(self, key: str, *, expires_seconds: int, filename: str, media_type: str) -> str | None:
        with self._named_errors(key):
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

    def _error(self, key: str, reason: str) -> StorageError:
        return StorageError(f"The storage failed at {self._address(key)}: {reason}")

    def _refused(self, key: str, reason: str) -> StorageRefused:
        return StorageRefused(f"The storage refused at {self._address(key)}: {reason}")

    def _address(self, key: str) -> str:
        return "s3://" + "/".join(part for part in (self.bucket, self.prefix, key) if part)

    @contextmanager
    def _named_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except S3DownloadFailedError as error:  # the version was replaced
            raise FileNotFoundError(key) from error
        except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] in _MISSING:
                raise FileNotFoundError(key) from error
            # The error of a failed transfer has its cause as the context.
            reason = (error.__context__ or error) if isinstance(error, Boto3Error) else error
            told = self._refused if _is_refusal(reason) else self._error
            raise told(key, _in_words(reason, self._client.meta.endpoint_url)) from error


def _is_part(answer: "GetObjectOutputTypeDef", start: int, end: int | None) -> bool:
    """Return whether the answer has the bytes [start, end), or those up to the object's end.

    A server without support for ranges sends all bytes. That is correct only if all bytes were
    asked for.
    """
    content_range = answer.get("ContentRange")
    if content_range is None:
        return start == 0 and end in {None, answer["ContentLength"]}
    total = content_range.rpartition("/")[2]
    if not total.isdecimal():
        return False
    size = int(total)
    end = size if end is None else min(end, size)
    return (content_range, answer["ContentLength"]) == (
        f"bytes {start}-{end - 1}/{size}",
        end - start,
    )


def _is_refusal(error: BaseException) -> bool:
    """Return whether the same request would be refused again. After an outage it would not."""
    if not isinstance(error, ClientError):
        return isinstance(error, _NO_CREDENTIALS)
    return _status(error) in _REFUSED_STATUSES or error.response["Error"]["Code"] in _REFUSED


def _end_redirects(
    response: "tuple[AWSResponse, dict[str, Any]] | None", operation: "OperationModel", **_: object
) -> None:
    """Raise `ClientError` for a redirect that does not name the region of the bucket.

    Otherwise botocore would ask for the region of the bucket, be redirected again, and so on
    without end.
    """
    if response is None:
        return
    http, answer = response
    told = "x-amz-bucket-region" in http.headers or "Region" in answer.get("Error", {})
    if _is_redirect(http.status_code) and not told:
        raise ClientError(answer, operation.name)  # type: ignore[arg-type] # as botocore itself does


def _in_words(error: BaseException, endpoint: str) -> str:
    """Describe an error by the operation and by the code and status of the server's answer.

    Never include the text of the answer.
    """
    if isinstance(error, ClientError):
        code, status = error.response["Error"]["Code"], _status(error)
        known = code if _CODE.fullmatch(code) else "an error"
        answer = f"{error.operation_name} was answered with {known}"
        if status is None:
            return answer
        answer += f" (HTTP status {status})"
        return answer + _redirect_advice(endpoint) if _is_redirect(status) else answer
    if isinstance(error, _BEFORE_AN_ANSWER) or (isinstance(error, OSError) and error.strerror):
        return str(error)
    return type(error).__name__


def _is_redirect(status: int) -> bool:
    return 300 <= status < 400


def _redirect_advice(endpoint: str) -> str:
    return (
        f". The server at {endpoint} redirects to another address. Set AWS_ENDPOINT_URL to the "
        "address of the S3 server itself, and AWS_DEFAULT_REGION to the region of the bucket"
    )


def _status(error: ClientError) -> int | None:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


class _ParsedOnce(JSONFileLoader):
    """Parse the descriptions of AWS's API once per process, because that takes 0.2 s."""

    def load_file(self, file_path: str) -> Any:
        return _parsed(file_path)


@cache
def _parsed(file: str) -> Any:
    return JSONFileLoader().load_file(file)


def _session(credentials: S3Credentials | None) -> boto3.Session:
    session = botocore.session.Session()
    session.get_component("data_loader").file_loader = _ParsedOnce()
    if credentials is None:
        return boto3.Session(botocore_session=session)
    return boto3.Session(
        botocore_session=session,
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
    )
