"""The page in Debian's Chromium, on real gateways: one with real services, one on topics that no service reads."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright
from playwright.sync_api import Request as BrowserRequest

from tests.conftest import ROOT
from tests.gateway.conftest import Gateway

WAIT_MS = 60_000
"""How long an expectation may take; a machine that does other work is slow."""
expect.set_options(timeout=WAIT_MS)


class Opens(Protocol):
    """Opens a view in a new window."""

    def __call__(
        self, gateway: Gateway, view: str = "/", *, key: str | None = None, scheme: str = "light", locale: str = "en-GB"
    ) -> Page: ...


@dataclass
class Watched:
    """What the pages of one test asked for, and what went wrong in them."""

    origins: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def request(self, request: BrowserRequest) -> None:
        self.requests.append(request.url)

    def message(self, message: ConsoleMessage) -> None:
        """Answers such as 401 and 404 are no faults of the page."""
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def check(self) -> None:
        own = (*(f"{origin}/" for origin in self.origins), *(f"blob:{origin}/" for origin in self.origins), "data:")
        assert [url for url in self.requests if not url.startswith(own)] == [], "a request left the gateway"
        assert self.faults == []


def find_chromium() -> str | None:
    """The one on PATH, else the one that the Makefile unpacks."""
    return shutil.which("chromium", path=os.pathsep.join([os.environ.get("PATH", ""), f"{ROOT}/.venv/opt/chromium"]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. Its library keeps an event loop in this thread: it ends with the module, other tests run loops."""
    found = find_chromium()
    if found is None:
        pytest.skip("no chromium: make .venv/opt/chromium/chromium")
    arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def watched() -> Iterator[Watched]:
    """In every test: nothing leaves the gateway, nothing breaks the content security policy, no script fails."""
    made = Watched()
    yield made
    made.check()


@pytest.fixture
def opened(browser: Browser, watched: Watched) -> Iterator[Opens]:
    """Open a view as who has the key of that name; its windows are closed at the end."""
    closing: list[Callable[[], None]] = []

    def opens(
        gateway: Gateway, view: str = "/", *, key: str | None = None, scheme: str = "light", locale: str = "en-GB"
    ) -> Page:
        dark = scheme == "dark"
        context = browser.new_context(color_scheme="dark" if dark else "light", locale=locale, reduced_motion="reduce",
                                      viewport={"width": 1280, "height": 800})  # fmt: skip
        closing.append(context.close)
        context.set_default_timeout(WAIT_MS)
        watched.origins.add(gateway.url)
        context.on("request", watched.request)
        context.on("console", watched.message)
        context.on("weberror", lambda error: watched.faults.append(str(error.error)))
        if key is not None:
            context.add_cookies([{"name": "lipstage_key", "value": gateway.keys[key], "url": gateway.url}])
        page = context.new_page()
        page.goto(f"{gateway.url}/#{view}")
        return page

    yield opens
    for close in closing:
        close()


def says(page: Page, text: str, *, exact: bool = False) -> None:
    """The view shows the text; what is told to screen readers alone does not count."""
    expect(page.locator("main").get_by_text(text, exact=exact).first).to_be_visible()


def until(page: Page, condition: str) -> None:
    """The expression becomes true. Playwright's own function evaluates it by what the content security policy of the
    page forbids."""
    page.evaluate(f"""async () => {{
        const end = performance.now() + {WAIT_MS};
        while (!({condition})) {{
            if (performance.now() > end) throw new Error("not within {WAIT_MS} ms");
            await new Promise(requestAnimationFrame);
        }}
    }}""")


def status(page: Page, words: str) -> None:
    """The render of the view has that status."""
    expect(page.locator("main .chip").first).to_have_text(words)


def choose(page: Page, **files: str | tuple[str, str, bytes]) -> None:
    """Choose files by role, ``portrait`` and ``speech``: a path, or a name with its media type and bytes."""
    for role, file in files.items():
        given = file if isinstance(file, str) else {"name": file[0], "mimeType": file[1], "buffer": file[2]}
        page.locator(f"input[data-role={role}]").set_input_files(given)  # type: ignore[arg-type]
