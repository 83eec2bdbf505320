"""How `s3://` addresses are read, the same way for what jobs read and for what they write.

The key of an object is what is written after the bucket: `#`, `?` and `%` mean nothing in it.
"""

S3 = "s3://"


def bucket_and_key(url: str) -> tuple[str, str]:
    """Of `s3://bucket/key`; the key may be empty."""
    bucket, _, key = url.removeprefix(S3).partition("/")
    return bucket, key
