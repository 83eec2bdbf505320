"""The files of a job: checkpoints, merged models, logs and reports."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from jobs.errors import ArtifactNotFound
from jobs.schemas.artifacts import ArtifactKind, CheckpointEntry
from jobs.schemas.body import MAX_SAFE_INTEGER
from jobs.schemas.job import Artifact
from jobs.storage import Storage
from jobs.store.artifacts import ArtifactSelection, folder_of
from relora_core.spec import TextPattern
from service.http.caller_route import CallerRoute
from service.http.downloads import ConditionsDep, Content, not_modified, send
from service.http.errors import documented
from service.http.limits import MAX_NAME, MAX_PATH
from service.http.tar_stream import TarFile, TarStream
from service.routes.dependencies import CURSOR, NEXT, BackendsDep, Id, StoreDep
from service.schemas.pages import Page
from service.schemas.responses import StoredArtifact

router = APIRouter(prefix="/v1/jobs", tags=["artifacts"], route_class=CallerRoute)

LINK_SECONDS = 3600
BYTES = "application/octet-stream"
TAR = "application/x-tar"
MEDIA_TYPES = {
    "json": "application/json",
    "log": "text/plain; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "png": "image/png",
    "txt": "text/plain; charset=utf-8",
}


def _downloads(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Return the successful responses of a download, for its OpenAPI entry."""
    content = {kind: {"schema": {"format": "binary"}} for kind in media_types}
    return {
        200: {"content": content, "description": "The whole file."},
        206: {"content": content, "description": "The part asked for."},
        304: {"description": "Its ETag is in `If-None-Match`; no content is sent."},
    }


@router.get(
    "/{job_id}/checkpoints", summary="List the checkpoints of a job", responses=documented(404, 422)
)
def list_checkpoints(
    job_id: Id,
    backends: BackendsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[
        str,
        Field(max_length=MAX_NAME),
        TextPattern(r"^(\d{1,18}-(checkpoint|merged|final))?$", NEXT),
        Query(description=CURSOR),
    ] = "",
) -> Page[CheckpointEntry]:
    """Return the checkpoints and merged models that the job saved, the newest first."""
    found = backends.files.checkpoints(job_id, limit=limit + 1, after=cursor)
    return Page[CheckpointEntry].of(found, limit, cursor="position")


def _selection(
    kind: Annotated[ArtifactKind | None, Query(description="Only files of this kind.")] = None,
    step: Annotated[
        int | None, Query(ge=0, le=MAX_SAFE_INTEGER, description="Only files of this step.")
    ] = None,
    prefix: Annotated[
        str, Query(max_length=MAX_PATH, description="Only files whose path starts with this.")
    ] = "",
) -> ArtifactSelection:
    return ArtifactSelection(kind=kind, step=step, prefix=prefix)


@router.get(
    "/{job_id}/artifacts", summary="List the files of a job", responses=documented(404, 422)
)
def list_artifacts(
    job_id: Id,
    selection: Annotated[ArtifactSelection, Depends(_selection)],
    backends: BackendsDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    cursor: Annotated[str, Query(max_length=MAX_PATH, description=CURSOR)] = "",
) -> Page[StoredArtifact]:
    """Return the files that are completely uploaded to the storage, sorted by path."""
    files = backends.files.list(job_id, selection, limit=limit + 1, after=cursor)
    found = [StoredArtifact(**file.model_dump(), url=_url(job_id, file.path)) for file in files]
    return Page[StoredArtifact].of(found, limit, cursor="path")


@router.get(
    "/{job_id}/artifacts/{path:path}",
    summary="Download a file of a job",
    response_class=Response,
    responses={
        **_downloads(BYTES, *sorted(set(MEDIA_TYPES.values()))),
        307: {"description": "The file is at this address of the object store, for an hour."},
        **documented(404, 416, 502),
    },
)
def download_artifact(
    job_id: Id,
    path: Annotated[str, Path(max_length=MAX_PATH)],
    store: StoreDep,
    backends: BackendsDep,
    conditions: ConditionsDep,
) -> Response:
    """Return the file or, with `Range`, a part of it. Its ETag is its sha256."""
    artifact = store.artifact(job_id, path)
    storage = backends.storage_for(store.get(job_id))
    content = _content(artifact, storage)
    if conditions.known(content.etag):
        return not_modified(content)
    if not conditions.head and (
        link := storage.link(
            artifact.key,
            expires_seconds=LINK_SECONDS,
            filename=content.filename,
            media_type=content.media_type,
        )
    ):
        return RedirectResponse(link, status_code=307)
    try:
        return send(content, conditions)
    except FileNotFoundError:  # it was deleted after it was listed
        raise ArtifactNotFound(job_id, path) from None


@router.get(
    "/{job_id}/model.tar",
    summary="Download a merged model",
    response_class=Response,
    responses={**_downloads(TAR), **documented(404, 416, 422, 502)},
)
def download_model(
    job_id: Id,
    store: StoreDep,
    backends: BackendsDep,
    conditions: ConditionsDep,
    step: Annotated[
        int | None,
        Query(
            ge=0,
            le=MAX_SAFE_INTEGER,
            description="Default: the final model or, until there is one, the newest other.",
        ),
    ] = None,
) -> Response:
    """Return a merged model as one tar archive of its folder. `Range` resumes a download."""
    files = backends.files.model(job_id, step)
    storage = backends.storage_for(store.get(job_id))
    _check_stored(job_id, files, storage)
    name = f"{job_id}-step-{files[0].step}"
    folder = folder_of(files[0])
    archive = TarStream(
        [
            TarFile(
                name=file.path.replace(folder, name, 1),
                key=file.key,
                size=file.size,
                sha256=file.sha256,
                modified_at=file.created_at,
            )
            for file in files
        ],
        storage.read,
    )
    return send(Content(archive.size, archive.etag, f"{name}.tar", TAR, archive.read), conditions)


def _check_stored(job_id: str, files: list[Artifact], storage: Storage) -> None:
    """Raise `ArtifactNotFound` if a file is missing or incomplete in the storage.

    This is checked first, because a stream that has begun cannot report an error.
    """
    folder = files[0].key.removesuffix(files[0].path) + folder_of(files[0])
    stored = {file.key: file.size for file in storage.list(folder)}
    for file in files:
        if stored.get(file.key) != file.size:
            raise ArtifactNotFound(job_id, file.path)


def _content(artifact: Artifact, storage: Storage) -> Content:
    filename = artifact.path.rpartition("/")[2]
    return Content(
        size=artifact.size,
        etag=artifact.sha256,
        filename=filename,
        media_type=MEDIA_TYPES.get(filename.rpartition(".")[2], BYTES),
        read=lambda start, end: storage.read(artifact.key, start, end),
    )


def _url(job_id: str, path: str) -> str:
    return f"/v1/jobs/{job_id}/artifacts/{quote(path)}"
