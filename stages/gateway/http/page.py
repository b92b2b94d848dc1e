"""``/`` and ``/page/<file>``: the page for people, files of this package; they hold nothing of a tenant."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import APIRouter, Request, Response

from stages.gateway.problems import Problem

router = APIRouter(include_in_schema=False)
START = "index.html"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""By suffix; what has another suffix is not served."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str


def _read() -> dict[str, PageFile]:
    found = {}
    for entry in (files("stages.gateway") / "page").iterdir():
        media_type = MEDIA_TYPES.get(PurePosixPath(entry.name).suffix)
        if media_type is not None:
            content = entry.read_bytes()
            found[entry.name] = PageFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found


FILES = _read()
"""By name, in memory: a path of a request is never a path of the disk."""


@router.api_route("/", methods=["GET", "HEAD"])
async def start(request: Request) -> Response:
    """The page."""
    return _answer(request, FILES[START])


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def file(name: str, request: Request) -> Response:
    """A module, a style sheet or a picture of the page."""
    found = FILES.get(name)
    if found is None:
        raise Problem(404, "NOT_FOUND", "the page has no such file")
    return _answer(request, found)


def _answer(request: Request, found: PageFile) -> Response:
    # A browser asks each time and mostly gets 304: after an upgrade no file is of another version than the others.
    headers = {"etag": found.etag, "cache-control": "no-cache"}
    known = request.headers.get("if-none-match", "")
    if known == "*" or found.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
        return Response(status_code=304, headers=headers)
    if request.method == "HEAD":
        return Response(headers=headers | {"content-length": str(len(found.content))}, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)
