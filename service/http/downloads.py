"""Content of a known size over HTTP: whole, in part, or not at all because it is known already."""

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
    """What is offered; `read(start, end)` yields the bytes of [start, end)."""

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
            "X-Content-Type-Options": "nosniff",  # a file is what its type says, and no page
        }


@dataclass(frozen=True)
class Conditions:
    """What the headers of a request ask for."""

    head: bool
    range: str | None
    if_range: str | None
    if_none_match: str | None

    def known(self, etag: str) -> bool:
        """Whether the client says that it has this content (compared weakly, as RFC 9110 says)."""
        tags = [tag.strip() for tag in (self.if_none_match or "").split(",")]
        return "*" in tags or f'"{etag}"' in tags or f'W/"{etag}"' in tags

    def part_of(self, content: Content) -> tuple[int, int] | None:
        """Raises `RangeNotSatisfiable`."""
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
    is_head = getattr(request.state, "head", False)  # `HeadAsGet` says so
    return Conditions(is_head, range_, if_range, if_none_match)


ConditionsDep = Annotated[Conditions, Depends(_conditions)]


def disposition(filename: str) -> str:
    return f"attachment; filename*=utf-8''{quote(filename)}"


def not_modified(content: Content) -> Response:
    return Response(status_code=304, headers=content.headers)


def send(content: Content, conditions: Conditions) -> Response:
    """Raises what `content.read` raises at its start."""
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
    """`chunks`, which are `size` bytes; a file that has become shorter raises `StorageError`.

    So the connection breaks, rather than that what was cut short passes for the whole.
    """
    left = size
    for chunk in chunks:
        left -= len(chunk)
        yield chunk
    if left:
        raise StorageError(f"The storage ended {counted(left, 'byte')} before the end of a file.")
