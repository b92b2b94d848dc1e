"""Every view: clean for axe in light and dark, no sideways scroll at three widths, and in Chinese."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from shared.client.connection import Connection
from shared.messages.codes import Code
from tests.client.dead_letters.making import Made, send
from tests.client.services import Services
from tests.conftest import ROOT
from tests.gateway.conftest import Gateway
from tests.gateway.page.conftest import Opens, choose, says

WIDTHS = (375, 768, 1280)
LONG = "A title that is as long as a title may be, for narrow windows"
OPERATOR = "acme operator"


@pytest.fixture(scope="module")
def jobs(quiet: Connection) -> dict[str, str]:
    """Renders of acme in every state that a person sees, by state."""
    services = Services(quiet)
    made = {name: uuid.uuid4().hex for name in ("running", "waiting", "rejected", "failed", "done", "other")}
    for name, job in made.items():
        labels = {"title": LONG if name == "done" else f"It is {name}"}

        def event(kind: str, *, job: str = job, labels: dict[str, str] = labels, **fields: Any) -> None:
            services.event(kind, job, tenant="acme", labels=labels, **fields)

        event("accepted", engine="puppet")
        event("finished", stage="audio", seconds=0.4)
        event("started", stage="face")
        match name:
            case "running":
                event("finished", stage="face", seconds=0.2, cached=True)
                event("progress", stage="infer", percent=40.0, done=100, total=250)
                event("progress", stage="encode", percent=20.0, done=50, total=250)
            case "waiting":
                event("retrying", stage="face", code="STORE_UNAVAILABLE", message="503", tier="10m",
                      due_ms=4_000_000_000_000, next_attempt=2)  # fmt: skip
            case "rejected":
                event("rejected", stage="face", code="NO_FACE", message="no face", field="portrait")
            case "failed":
                event("failed", stage="face", code="CRASH_LOOP", message="the worker process died 3 times")
                send(quiet, [Made(job, code=Code.CRASH_LOOP, fields={"tenant": "acme"})])
            case _:
                event("warning", stage="face", code="LOW_RESOLUTION", message="the face has few pixels")
                services.done(job, tenant="acme", labels=labels)
    return made


def fill(page: Page) -> None:
    samples = ROOT / "samples"
    choose(page, portrait=str(samples / "portrait.png"), speech=str(samples / "speech.wav"))
    page.locator("summary", has_text="Settings").first.click()
    page.locator("summary", has_text="More settings").click()
    expect(page.get_by_label("Seed")).to_be_visible()


def ask_to_delete(page: Page) -> None:
    page.locator("main").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def pick_files(page: Page) -> None:
    names = {"ann.png": "image/png", "ann.wav": "audio/wav", "ben.wav": "audio/wav", "carl.png": "image/png"}
    page.locator("input[data-role=batch]").set_input_files(
        [{"name": name, "mimeType": kind, "buffer": b"x"} for name, kind in names.items()]
    )
    expect(page.get_by_role("button", name="Create 1 video")).to_be_visible()


def plan(page: Page) -> None:
    letter = page.locator(".letters > li").first
    letter.locator("summary").click()
    expect(letter.get_by_label("Record", exact=True)).to_be_visible()
    letter.get_by_role("checkbox").check()
    page.get_by_role("button", name="Plan a replay").click()
    says(page, "Nothing was sent yet.")


def find_nothing(page: Page) -> None:
    page.get_by_label("Search").fill("no render has such a title")
    expect(page.locator(".empty")).to_be_visible()


def shows(selector: str) -> Callable[[Page], None]:
    """Wait until the view has loaded what it lists."""
    return lambda page: expect(page.locator(selector).first).to_be_visible()


VIEWS: dict[str, tuple[str, str | None, str, Callable[[Page], None] | None]] = {
    "sign in": ("/", None, "Sign in", None),
    "new": ("/", OPERATOR, "Make a portrait speak", None),
    "new, with files and settings": ("/", OPERATOR, "Make a portrait speak", fill),
    "running": ("/renders/{running}", OPERATOR, "It is running", None),
    "waiting": ("/renders/{waiting}", OPERATOR, "It is waiting", None),
    "rejected": ("/renders/{rejected}", OPERATOR, "It is rejected", None),
    "failed": ("/renders/{failed}", OPERATOR, "It is failed", None),
    "done": ("/renders/{done}", OPERATOR, LONG, None),
    "delete": ("/renders/{rejected}", OPERATOR, "It is rejected", ask_to_delete),
    "unknown": ("/renders/nobody", OPERATOR, "There is no such video", None),
    "history": ("/renders?compare={done}", OPERATOR, "Videos", shows(".tile")),
    "nothing found": ("/renders", OPERATOR, "Videos", find_nothing),
    "side by side": ("/compare/{done}/{other}", OPERATOR, "Side by side", shows("tr")),
    "batch": ("/batch", OPERATOR, "Many videos at once", pick_files),
    "operations": ("/operations", OPERATOR, "Operations", plan),
    "lost": ("/nowhere", OPERATOR, "There is nothing here", None),
}
"""The address, the name of the key, the heading, and what is done before the view is looked at."""


SHORT = ("new", "done", "operations")
"""The views that `make test` looks at, in light colours; `make test-page` looks at all, in both."""


@pytest.mark.parametrize(
    ("scheme", "name"),
    [
        pytest.param(scheme, name, marks=() if (scheme, name in SHORT) == ("light", True) else pytest.mark.slow)
        for scheme in ("light", "dark")
        for name in VIEWS
    ],
)
def test_the_view_is_clean_for_axe_and_fits(
    gateway: Gateway, opened: Opens, jobs: dict[str, str], scheme: str, name: str
) -> None:
    view, key, heading, act = VIEWS[name]
    page = opened(gateway, view.format(**jobs), key=key, scheme=scheme)
    expect(page.get_by_role("heading", level=1, name=heading, exact=True)).to_be_visible()
    if act is not None:
        act(page)
    violations = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in violations] == []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{over} px too wide at {width}"


def test_chinese_is_chosen_by_the_browser_and_switched_by_the_person(gateway: Gateway, opened: Opens) -> None:
    page = opened(gateway, key="acme", locale="zh-CN")
    expect(page.get_by_role("heading", level=1)).to_have_text("让照片开口说话")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.locator("summary", has_text="设置").first.click()
    expect(page.get_by_label("分辨率")).to_be_visible()
    assert re.findall(r"[A-Za-z]{5,}", page.locator("main").inner_text()) == []
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Make a portrait speak")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Make a portrait speak")


def test_both_languages_have_every_word_and_every_code(gateway: Gateway, opened: Opens) -> None:
    page = opened(gateway)
    for module in ("text", "problems"):
        english, chinese = (
            page.evaluate(f"import('/page/{module}_{tag}.js').then((module) => module.{module})")
            for tag in ("en", "zh")
        )
        assert {name for name in english.keys() ^ chinese.keys() if not name.startswith("param.")} == set(), module
        if module == "text":
            places = {name: set(re.findall(r"\{\w+\}", words)) for name, words in english.items()}
            assert {n for n, found in places.items() if found != set(re.findall(r"\{\w+\}", chinese[n]))} == set()
        else:
            codes = {str(code) for code in Code if not code.startswith("TENANT_SIGN") and code not in UNSEEN}
            assert codes <= english.keys()


UNSEEN = {Code.KEY_MISMATCH, Code.TENANT_UNSIGNED}
"""Of records that another program wrote to the topics."""


def test_files_are_paired_by_name_and_by_a_table(gateway: Gateway, opened: Opens) -> None:
    page = opened(gateway)

    def paired(names: list[str], table: str | None = None) -> dict[str, Any]:
        script = """async ([names, table]) => {
          const { pairUp } = await import('/page/pairing.js');
          const files = names.map((name) => new File(['x'], name));
          const { pairs, alone, missing } = pairUp(files, table);
          return JSON.stringify({
            pairs: pairs.map((pair) => [pair.portrait.name, pair.speech.name, pair.fields]),
            alone: alone.map((file) => file.name), missing });
        }"""
        found: dict[str, Any] = json.loads(page.evaluate(script, [names, table]))
        return found

    assert paired(["b.JPG", "a.png", "a.wav", "B.mp3", "c.wav"]) == {
        "pairs": [["a.png", "a.wav", {}], ["b.JPG", "B.mp3", {}]], "alone": ["c.wav"], "missing": []
    }  # fmt: skip
    assert [pair[:2] for pair in paired(["me.png", "2.wav", "10.wav"])["pairs"]] == [
        ["me.png", "2.wav"], ["me.png", "10.wav"]
    ]  # fmt: skip
    table = (
        "\ufeffportrait;speech;title;engine;params.seed;blinks;engine_params.blinks\r\n"
        '"in/a.png";a;"He said ""hi""";puppet;7;;TRUE\r\n'
        "a.png;gone.wav;;;;;\r\n"
    )
    assert paired(["a.png", "a.wav"], table) == {
        "pairs": [
            [
                "a.png",
                "a.wav",
                {
                    "labels": {"title": 'He said "hi"'},
                    "engine": "puppet",
                    "params": {"seed": 7},
                    "engine_params": {"blinks": True},
                },
            ]
        ],
        "alone": [],
        "missing": ["gone.wav"],
    }
