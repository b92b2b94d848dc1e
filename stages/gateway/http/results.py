"""``/v1/renders/{job_id}/video``, ``/poster`` and ``/preview/...``: the files of a render."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from shared.client import JobKey, previews, results
from shared.client.results import MEDIA_TYPES, File, Reading
from stages.gateway.caller import AnyCaller
from stages.gateway.calls import Calls
from stages.gateway.http import ranges
from stages.gateway.http.schema import JobId, binary

router = APIRouter(prefix="/v1/renders/{job_id}", tags=["results"])
CHUNK_BYTES = 256 << 10
SUFFIXES: dict[File, str] = {"video": ".mp4", "poster": ".jpg"}
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
IMMUTABLE = "private, max-age=3600"
"""The files of a finished render never change; a purge ends them."""

Delivery = Annotated[
    Literal["stream", "redirect"] | None,
    Query(description="Through the gateway, or by a redirect to the object store; default: the gateway's setting."),
]
Range = Annotated[str | None, Header(alias="range", description="One range of bytes.")]
Download = Annotated[bool, Query(description="Let a browser save the file in place of showing it.")]


@router.get("/video", response_class=Response, responses=binary("The mp4.", MEDIA_TYPES["video"]))
async def video(
    job_id: JobId,
    request: Request,
    caller: AnyCaller,
    delivery: Delivery = None,
    download: Download = False,
    range_: Range = None,
) -> Response:
    """The video of a render that is done; one byte range is answered with 206."""
    return await _answer(request, caller.job(job_id), "video", delivery, download, range_)


@router.get("/poster", response_class=Response, responses=binary("The first frame.", MEDIA_TYPES["poster"]))
async def poster(
    job_id: JobId,
    request: Request,
    caller: AnyCaller,
    delivery: Delivery = None,
    download: Download = False,
    range_: Range = None,
) -> Response:
    """The first frame of a render that is done."""
    return await _answer(request, caller.job(job_id), "poster", delivery, download, range_)


router.add_api_route("/video", video, methods=["HEAD"], include_in_schema=False)
router.add_api_route("/poster", poster, methods=["HEAD"], include_in_schema=False)


@router.get(
    "/preview/{name:path}",
    response_class=Response,
    responses=binary("The playlist, or a segment.", PLAYLIST_TYPE, "video/mp4"),
)
async def preview(job_id: JobId, name: str, request: Request, caller: AnyCaller) -> Response:
    """A file of the preview, an HLS playlist `index.m3u8` with segments; while it grows, read the playlist again."""
    key = caller.job(job_id)
    body: bytes = await request.app.state.calls(lambda client: previews.read(client, key, name))
    if name.endswith(".mp4"):
        return Response(body, 200, {"cache-control": IMMUTABLE}, "video/mp4")
    return Response(body, 200, {"cache-control": "no-store"}, PLAYLIST_TYPE)


async def _answer(
    request: Request, job: JobKey, kind: File, delivery: str | None, download: bool, range_: str | None
) -> Response:
    state, is_head = request.app.state, request.method == "HEAD"
    calls: Calls = state.calls
    file = await calls(lambda client: results.find(client, job, kind))
    headers = {"Content-Type": MEDIA_TYPES[kind]}
    if download:
        headers["Content-Disposition"] = f'attachment; filename="{job.job_id}{SUFFIXES[kind]}"'
    if (delivery or state.options.delivery) == "redirect":
        url = state.presigned.result(file.bucket, file.key, headers, head=is_head)
        return RedirectResponse(url, 307, {"cache-control": "no-store"})
    etag = f'"{file.sha256}"'
    headers |= {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": IMMUTABLE}
    if ranges.is_unchanged(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    span = ranges.asked(range_, request.headers.get("if-range"), etag, file.size)
    status, size = (206, span.size) if span is not None else (200, file.size)
    headers["Content-Length"] = str(size)
    if span is not None:
        headers["Content-Range"] = f"bytes {span.first}-{span.last}/{file.size}"
    if is_head:
        return Response(None, status, headers)
    reading = await calls(lambda client: results.opened(client, job, file, span))
    return StreamingResponse(_chunks(calls, reading), status, headers)


async def _chunks(calls: Calls, reading: Reading) -> AsyncIterator[bytes]:
    """The bytes, as fast as the client takes them: between two of them no thread waits."""
    try:
        while chunk := await calls(lambda _: reading.read(CHUNK_BYTES)):
            yield chunk
    finally:
        reading.close()
