"""How addresses are read, the same way for what jobs read and for what they write.

The key of an object is what is written after the bucket: `#`, `?` and `%` mean nothing in it. A
`file://` address is percent-encoded where it has to be, as `Path.as_uri` does it.
"""

from urllib.parse import unquote

S3, FILE = "s3://", "file://"


def bucket_and_key(url: str) -> tuple[str, str]:
    """Of `s3://bucket/key`; the key may be empty."""
    bucket, _, key = url.removeprefix(S3).partition("/")
    return bucket, key


def local_path(url: str) -> str:
    """Of `file:///folder`, or of a plain path."""
    return unquote(url.removeprefix(FILE)) if url.startswith(FILE) else url
