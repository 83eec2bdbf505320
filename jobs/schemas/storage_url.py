"""URLs of storages: a folder (`file:///folder`) or a prefix in a bucket (`s3://bucket/prefix`).

The key of an object is the literal text after the bucket: `#`, `?` and `%` are plain characters.
"""

from relora_core.spec.file_uris import FILE

S3 = "s3://"
FORMS = "s3://bucket/prefix or file:///folder"


def is_storage_url(url: str) -> bool:
    return url.startswith((S3, FILE + "/"))


def bucket_and_key(url: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into the bucket and the key, which may be empty."""
    bucket, _, key = url.removeprefix(S3).partition("/")
    return bucket, key
