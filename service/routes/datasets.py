"""Datasets: upload them by tus 1.0 in any number of requests, list and delete them."""

from functools import partial

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from jobs.backends import Backends
from jobs.datasets import content
from jobs.errors import OffsetMismatch, UploadTooLarge
from jobs.schemas.datasets import UploadedDataset
from jobs.storage import Storage
from relora_core.counted import counted
from service.http.caller_route import CallerRoute
from service.http.errors import documented
from service.http.upload_buffer import receive
from service.http.upload_headers import (
    CAPABILITIES,
    POSITION,
    UPLOAD,
    NewUpload,
    Offset,
    capabilities,
    position,
    tus_only,
    tus_or_plain,
    upload_headers,
)
from service.routes.dependencies import BackendsDep, Cursor, Id, PageLimit, ProjectDep
from service.schemas import tus
from service.schemas.pages import Page
from service.schemas.responses import LOCATION

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=CallerRoute)

_BYTES = {tus.CONTENT_TYPE: {"schema": {"type": "string", "format": "binary"}}}


@router.options(
    "",
    summary="Show what uploads support",
    status_code=204,
    responses={204: {"headers": CAPABILITIES}},
)
def get_upload_options(backends: BackendsDep, response: Response) -> None:
    """Return the version of tus, its extensions, and the largest size in bytes."""
    response.headers.update(capabilities(backends.settings.upload_max_bytes))


@router.post(
    "",
    summary="Create an upload",
    status_code=201,
    dependencies=[tus_only],
    responses={
        201: {"headers": {**LOCATION["headers"], **UPLOAD}},
        **documented(409, 412, 413, 422),
    },
)
def create_dataset(
    new: NewUpload, backends: BackendsDep, project: ProjectDep, response: Response
) -> UploadedDataset:
    """Create an upload by tus 1.0. `PATCH` sends its bytes to the address in `Location`."""
    limit = backends.settings.upload_max_bytes
    if new.size > limit:
        raise UploadTooLarge(
            f"A dataset may have {counted(limit, 'byte')} here; this one has {new.size:,}."
        )
    dataset = backends.datasets.create(project, new)
    response.headers["Location"] = f"/v1/datasets/{dataset.id}"
    response.headers.update(upload_headers(dataset, backends.settings.upload_expires_seconds))
    return dataset


@router.get("", summary="List datasets", responses=documented(422))
def list_datasets(
    backends: BackendsDep,
    project: ProjectDep,
    limit: PageLimit = 50,
    cursor: Cursor = None,
) -> Page[UploadedDataset]:
    """Return a page of datasets, the newest first. Unfinished uploads are included."""
    found = backends.datasets.list(project, limit=limit + 1, before=cursor)
    return Page[UploadedDataset].of(found, limit)


@router.get(
    "/{dataset_id}",
    summary="Show a dataset",
    dependencies=[tus_or_plain],
    responses={200: {"headers": UPLOAD}, **documented(404, 412)},
)
def get_dataset(
    dataset_id: Id, backends: BackendsDep, project: ProjectDep, response: Response
) -> UploadedDataset:
    """Return a dataset. The headers tell where its upload continues; `HEAD` returns only them."""
    dataset = backends.datasets.get(project, dataset_id)
    response.headers.update(upload_headers(dataset, backends.settings.upload_expires_seconds))
    response.headers["Cache-Control"] = "no-store"
    return dataset


@router.patch(
    "/{dataset_id}",
    summary="Upload the bytes of a dataset",
    status_code=204,
    dependencies=[tus_only],
    responses={204: {"headers": POSITION}, **documented(404, 409, 412, 413, 415, 422, 502)},
    openapi_extra={"requestBody": {"content": _BYTES}},
)
async def upload_content(
    dataset_id: Id,
    request: Request,
    backends: BackendsDep,
    project: ProjectDep,
    response: Response,
    offset: Offset,
) -> None:
    """Send bytes of the file, starting at an offset, in requests of any size.

    All bytes that arrive are kept, also if the connection breaks. After the last byte the dataset
    is `ready` if the whole file has the announced sha256.
    """
    if request.headers.get("Content-Type") != tus.CONTENT_TYPE:
        raise HTTPException(415, f"Send the bytes with Content-Type: {tus.CONTENT_TYPE}.")
    dataset = await run_in_threadpool(backends.datasets.get, project, dataset_id)
    if offset != dataset.received:
        raise OffsetMismatch(dataset_id, offset, dataset.received)
    storage = await run_in_threadpool(backends.own_storage)
    keep = partial(content.append, backends.datasets, storage, project)
    dataset = await receive(request.stream(), dataset, keep, request.app.state.spool_space)
    if dataset.received == dataset.size:
        finish = partial(_finish, backends, storage, project, dataset_id)
        dataset = await to_thread.run_sync(finish, limiter=request.app.state.hashing)
    response.headers.update(position(dataset, backends.settings.upload_expires_seconds))


def _finish(backends: Backends, storage: Storage, project: str, dataset_id: str) -> UploadedDataset:
    """Verify the whole file, and make the dataset `ready`.

    The dataset is read again first: another request may have finished it while this one waited.
    """
    dataset = backends.datasets.get(project, dataset_id)
    return content.finish(backends.datasets, storage, project, dataset)


@router.delete(
    "/{dataset_id}",
    summary="Delete a dataset",
    status_code=204,
    dependencies=[tus_or_plain],
    responses=documented(404, 409, 412),
)
def delete_dataset(dataset_id: Id, backends: BackendsDep, project: ProjectDep) -> None:
    """Delete a dataset that no job needs anymore, or an unfinished upload."""
    backends.datasets.delete(project, dataset_id)
