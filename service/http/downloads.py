"""Downloads of content of a known size: all of it, a part, or 304 if the client has it already."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from jobs.errors import StorageError
from relora_core.counted import counted
from service.http.byte_ranges import RangeNotSatisfiable, parse_range
from service.http.limits import MAX_HEADER


@dataclass(frozen=True)
class Content:
    """The content to download. `read(start, end)` yields the bytes of [start, end)."""

    size: int
    etag: str
    filename: str
    media_type: str
    read: Callable[[int, int], Iterator[bytes]]

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Accept-Ranges": "bytes",
            "ETag": f'"{self.etag}"',
            "Content-Disposition": disposition(self.filename),
            "X-Content-Type-Options": "nosniff",  # browsers must not guess that a file is a page
        }


@dataclass(frozen=True)
class Conditions:
    """The headers of a request that say what to send."""

    head: bool
    range: str | None
    if_range: str | None
    if_none_match: str | None

    def known(self, etag: str) -> bool:
        """Return True if the client has this content already, by RFC 9110's weak comparison."""
        tags = [tag.strip() for tag in (self.if_none_match or "").split(",")]
        return "*" in tags or f'"{etag}"' in tags or f'W/"{etag}"' in tags

    def part_of(self, content: Content) -> tuple[int, int] | None:
        """Return the requested part as [start, end), or None for the whole content.

        Raise `RangeNotSatisfiable` if the content has no byte of it.
        """
        unchanged = self.if_range is None or self.if_range == f'"{content.etag}"'
        return parse_range(self.range if unchanged and not self.head else None, content.size)


def _conditions(
    request: Request,
    range_: Annotated[
        str | None,
        Header(
            alias="Range",
            max_length=MAX_HEADER,
            description="One range of bytes.",
            examples=["bytes=1048576-"],
        ),
    ] = None,
    if_range: Annotated[
        str | None,
        Header(
            max_length=MAX_HEADER, description="Send a part only if the ETag is still this one."
        ),
    ] = None,
    if_none_match: Annotated[
        str | None,
        Header(max_length=MAX_HEADER, description="Send nothing if the ETag is one of these."),
    ] = None,
) -> Conditions:
    is_head = getattr(request.state, "head", False)  # set by `HeadAsGet`
    return Conditions(is_head, range_, if_range, if_none_match)


ConditionsDep = Annotated[Conditions, Depends(_conditions)]


def disposition(filename: str) -> str:
    return f"attachment; filename*=utf-8''{quote(filename)}"


def not_modified(content: Content) -> Response:
    return Response(status_code=304, headers=content.headers)


def send(content: Content, conditions: Conditions) -> Response:
    """Return the response that the conditions ask for. Pass on errors when `read` starts."""
    if conditions.known(content.etag):
        return not_modified(content)
    try:
        part = conditions.part_of(content)
    except RangeNotSatisfiable:
        raise HTTPException(
            416,
            f"The file has {counted(content.size, 'byte')}; "
            f"{conditions.range!r} asks for none of them.",
            headers={"Content-Range": f"bytes */{content.size}"},
        ) from None
    start, end = part or (0, content.size)
    headers = {**content.headers, "Content-Length": str(end - start)}
    if conditions.head:
        return Response(headers=headers, media_type=content.media_type)
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    return StreamingResponse(
        whole(content.read(start, end), end - start),
        status_code=206 if part else 200,
        media_type=content.media_type,
        headers=headers,
    )


def whole(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield the chunks. Raise `StorageError` if they have fewer than `size` bytes.

    Then the connection breaks, so that the client does not take a truncated file for a whole one.
    """
    left = size
    for chunk in chunks:
        left -= len(chunk)
        yield chunk
    if left:
        raise StorageError(f"The storage ended {counted(left, 'byte')} before the end of a file.")
