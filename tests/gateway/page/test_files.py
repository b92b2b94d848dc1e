"""How the files of the page are served, and that they refer to each other alone; no broker is needed."""

import asyncio
import re

import httpx
import pytest
from fastapi import FastAPI

from stages.gateway.http import page


def ask(method: str, path: str, **headers: str) -> httpx.Response:
    app = FastAPI()
    app.include_router(page.router)
    app.add_exception_handler(page.Problem, _not_found)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path, headers={n.replace("_", "-"): v for n, v in headers.items()})

    return asyncio.run(send())


async def _not_found(request: object, error: Exception) -> page.Response:
    assert isinstance(error, page.Problem)
    return page.Response(status_code=error.status)


def test_the_page_is_served_and_asked_for_again_by_its_tag() -> None:
    first = ask("GET", "/")
    assert (first.status_code, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert first.headers["cache-control"] == "no-cache"
    again = ask("GET", "/", if_none_match=f'"other", W/{first.headers["etag"]}')
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert ask("GET", "/", if_none_match='"other"').status_code == 200
    head = ask("HEAD", "/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(first.content))


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "%2e%2e/app.py", "index.html%00", "INDEX.HTML"])
def test_no_other_file_is_served(name: str) -> None:
    assert ask("GET", f"/page/{name}").status_code == 404


@pytest.mark.parametrize("name", sorted(page.FILES))
def test_a_file_refers_to_the_page_alone(name: str) -> None:
    text = page.FILES[name].content.decode()
    assert ask("GET", f"/page/{name}").headers["content-type"] == page.FILES[name].media_type
    imports = re.findall(r"""from\s+"\./([^"]+)";""", text)
    linked = re.findall(r"""(?:src|href)="/page/([^"]+)\"""", text)
    assert {*imports, *linked} <= page.FILES.keys()
    addresses = [url for url in re.findall(r"https?://[^\s\"'`)]+", text) if not url.startswith("http://www.w3.org/")]
    assert addresses == [], "the page loads nothing from elsewhere"
    assert "innerHTML" not in text and "insertAdjacentHTML" not in text, "texts of users are never parsed"


def test_the_page_has_nothing_inline() -> None:
    """The content security policy allows neither inline scripts nor inline styles."""
    text = page.FILES["index.html"].content.decode()
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", text) == []
    modules = {name: file.content.decode() for name, file in page.FILES.items() if name.endswith(".js")}
    assert [name for name, module in modules.items() if re.search(r"\bstyle:", module)] == []


def test_the_page_is_small() -> None:
    assert sum(len(file.content) for file in page.FILES.values()) < 250_000
