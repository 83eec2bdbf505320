"""A job's files: checkpoints, merged models, logs and reports."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, HTTPException, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from jobs.errors import ArtifactNotFound
from jobs.models import Artifact
from jobs.storage import Storage
from service.dependencies import BackendsDep, StoreDep
from service.errors import documented
from service.ranges import RangeNotSatisfiable, parse_range
from service.responses import ArtifactPage, StoredArtifact

router = APIRouter(prefix="/v1/jobs", tags=["artifacts"])

LINK_SECONDS = 3600


@router.get("/{job_id}/artifacts", responses=documented(404))
def list_artifacts(job_id: str, store: StoreDep) -> ArtifactPage:
    """The files that are whole in the storage, sorted by path."""
    return ArtifactPage(
        items=[
            StoredArtifact(**artifact.model_dump(), url=_url(job_id, artifact.path))
            for artifact in store.artifacts(job_id)
        ]
    )


@router.head("/{job_id}/artifacts/{path:path}", include_in_schema=False)  # as GET, by HTTP
@router.get(
    "/{job_id}/artifacts/{path:path}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The file."},
        206: {"content": {"application/octet-stream": {}}, "description": "The part asked for."},
        307: {"description": "The file is at this address of the object store, for an hour."},
        **documented(404, 416),
    },
)
def download_artifact(
    job_id: str,
    path: str,
    request: Request,
    backends: BackendsDep,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Response:
    """The file or, with `Range`, a part of it. Its ETag is its sha256."""
    artifact = backends.store.artifact(job_id, path)
    storage = backends.storage_for(backends.store.get(job_id))
    filename = path.rpartition("/")[2]
    if request.method == "GET" and (
        link := storage.link(path, expires_seconds=LINK_SECONDS, filename=filename)
    ):
        return RedirectResponse(link, status_code=307)
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{artifact.sha256}"',
        "Content-Disposition": f"attachment; filename*=utf-8''{quote(filename)}",
    }
    unchanged = if_range is None or if_range == headers["ETag"]
    try:
        part = parse_range(range_ if unchanged else None, artifact.size)
    except RangeNotSatisfiable:
        raise HTTPException(
            416,
            f"The file has {artifact.size} bytes; {range_!r} asks for none of them.",
            headers={"Content-Range": f"bytes */{artifact.size}"},
        ) from None
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(artifact.size)})
    return _stream(job_id, artifact, storage, part=part, headers=headers)


def _stream(
    job_id: str,
    artifact: Artifact,
    storage: Storage,
    *,
    part: tuple[int, int] | None,
    headers: dict[str, str],
) -> Response:
    start, end = part or (0, artifact.size)
    try:
        chunks = storage.read(artifact.path, start, end)
    except FileNotFoundError:  # deleted since it was listed
        raise ArtifactNotFound(job_id, artifact.path) from None
    headers = {**headers, "Content-Length": str(end - start)}
    if part:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{artifact.size}"
    return StreamingResponse(
        chunks,
        status_code=206 if part else 200,
        media_type="application/octet-stream",
        headers=headers,
    )


def _url(job_id: str, path: str) -> str:
    return f"/v1/jobs/{job_id}/artifacts/{quote(path)}"
