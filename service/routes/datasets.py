"""Datasets: announced, uploaded in any number of requests, used by jobs, deleted."""

from functools import partial
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool

from jobs.backends import Backends
from jobs.datasets import content
from jobs.errors import OffsetMismatch, UploadTooLarge
from jobs.schemas.datasets import Dataset, NewDataset
from jobs.schemas.json_numbers import MAX_SAFE_INTEGER
from jobs.storage import Storage
from relora_core.counted import counted
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.upload_buffer import receive
from service.routes.dependencies import BackendsDep, Cursor, Id, PageLimit, ProjectDep
from service.schemas.pages import Page
from service.schemas.responses import LOCATION

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=CallerRoute)

OFFSET, LENGTH = "Upload-Offset", "Upload-Length"
_POSITION: dict[str, Any] = {
    OFFSET: {"schema": {"type": "integer"}, "description": "The offset of the next byte."},
    LENGTH: {"schema": {"type": "integer"}, "description": "The size of the whole file."},
}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@router.post(
    "",
    summary="Announce a dataset to upload",
    status_code=201,
    responses={
        201: LOCATION,
        **documented(400, 409, 413, 422),
    },
)
def create_dataset(
    new: NewDataset, backends: BackendsDep, project: ProjectDep, response: Response
) -> Dataset:
    """Announce a file. Its bytes go to `/v1/datasets/{dataset_id}/content`."""
    limit = backends.settings.upload_max_bytes
    if new.size > limit:
        raise UploadTooLarge(
            f"A dataset may have {counted(limit, 'byte')} here; this one has {new.size:,}."
        )
    dataset = backends.datasets.create(project, new)
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    return dataset


@router.get("", summary="List datasets", responses=documented(422))
def list_datasets(
    backends: BackendsDep,
    project: ProjectDep,
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Page[Dataset]:
    """The newest first, those that are being uploaded among them."""
    found = backends.datasets.list(project, limit=limit + 1, before=cursor)
    return Page[Dataset].of(found, limit)


@router.get("/{dataset_id}", summary="Show a dataset", responses=documented(404))
def get_dataset(dataset_id: Id, backends: BackendsDep, project: ProjectDep) -> Dataset:
    return backends.datasets.get(project, dataset_id)


@router.delete(
    "/{dataset_id}", summary="Delete a dataset", status_code=204, responses=documented(404, 409)
)
def delete_dataset(dataset_id: Id, backends: BackendsDep, project: ProjectDep) -> None:
    """Delete a dataset that no job needs any more, or an unfinished upload."""
    backends.datasets.delete(project, dataset_id)


@router.head(
    "/{dataset_id}/content",
    summary="Ask where an upload continues",
    response_class=Response,
    responses={200: {"headers": _POSITION, "content": {}}, **documented(404)},
)
def get_upload_offset(dataset_id: Id, backends: BackendsDep, project: ProjectDep) -> Response:
    """The offset at which an upload continues."""
    dataset = backends.datasets.get(project, dataset_id)
    return Response(headers={**_position(dataset), "Cache-Control": "no-store"})


@router.patch(
    "/{dataset_id}/content",
    summary="Upload the bytes of a dataset",
    responses={200: {"headers": _POSITION}, **documented(404, 409, 413, 422, 502)},
    openapi_extra={"requestBody": {"content": _BYTES}},
)
async def upload_content(
    dataset_id: Id,
    request: Request,
    backends: BackendsDep,
    project: ProjectDep,
    response: Response,
    offset: Annotated[
        int,
        Header(
            alias=OFFSET,
            ge=0,
            le=MAX_SAFE_INTEGER,
            description="The offset of the body's first byte.",
        ),
    ],
) -> Dataset:
    """Send bytes from an offset on, in requests of any size: all bytes that arrive are kept.

    The last one makes the dataset `ready`, if the whole has the sha256 that was announced.
    """
    dataset = await run_in_threadpool(backends.datasets.get, project, dataset_id)
    if offset != dataset.received:
        raise OffsetMismatch(dataset_id, offset, dataset.received)
    storage = await run_in_threadpool(backends.own_storage)
    keep = partial(content.append, backends.datasets, storage, project)
    dataset = await receive(request.stream(), dataset, keep, request.app.state.spool_space)
    if dataset.received == dataset.size:
        finish = partial(_finish, backends, storage, project, dataset_id)
        dataset = await to_thread.run_sync(finish, limiter=request.app.state.hashing)
    response.headers.update(_position(dataset))
    return dataset


def _finish(backends: Backends, storage: Storage, project: str, dataset_id: str) -> Dataset:
    """What another request has finished while this one waited is hashed no second time."""
    dataset = backends.datasets.get(project, dataset_id)
    return content.finish(backends.datasets, storage, project, dataset)


def _position(dataset: Dataset) -> dict[str, str]:
    return {OFFSET: str(dataset.received), LENGTH: str(dataset.size)}
