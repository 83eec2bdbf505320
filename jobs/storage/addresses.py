"""The parser of `s3://` addresses, the same for the inputs and the outputs of jobs.

The key of an object is the literal text after the bucket: `#`, `?` and `%` are plain characters.
"""

S3 = "s3://"


def bucket_and_key(url: str) -> tuple[str, str]:
    """Split `s3://bucket/key` into the bucket and the key, which may be empty."""
    bucket, _, key = url.removeprefix(S3).partition("/")
    return bucket, key
