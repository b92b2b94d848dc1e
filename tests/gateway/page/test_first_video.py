"""The page with real services: from nothing to a video, an error that says what to do, many at once, the keyboard."""

import io
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.conftest import ROOT
from tests.gateway.conftest import Gateway
from tests.gateway.page.conftest import Opens, choose, says, status, until
from tests.pipeline.conftest import spoken, unseen_start

PORTRAIT = str(ROOT / "samples" / "portrait.png")
SECONDS = 1.2


def speech(name: str = "hello.wav") -> tuple[str, str, bytes]:
    return name, "audio/wav", spoken(SECONDS, unseen_start())


def smallest(page: Page) -> None:
    """The smallest resolution: these tests are about the page."""
    page.locator("summary", has_text="Settings").first.click()
    page.get_by_label("Resolution", exact=True).fill("256")


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Ids of renders that a test leaves for the next one."""
    return {}


def test_from_an_empty_page_to_a_video(live: Gateway, opened: Opens, made: dict[str, str]) -> None:
    page = opened(live)
    heading(page, "Make a portrait speak")
    button = page.get_by_role("button", name="Create video")
    expect(button).to_have_attribute("aria-disabled", "true")
    says(page, "Add a portrait and speech to begin.")
    choose(page, portrait=PORTRAIT)
    says(page, "Now add speech.")
    choose(page, speech=speech())
    expect(page.get_by_alt_text("Your portrait: portrait.png")).to_be_visible()
    smallest(page)
    page.get_by_label("Title").fill("First of all")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/renders")) as sent:
        button.click()
    trace_id = sent.value.headers["traceparent"].split("-")[1]

    heading(page, "First of all")
    status(page, "Done")
    expect(page.locator(".timeline li.finished")).to_have_count(4)
    video = page.get_by_label("Finished video")
    expect(video).to_be_visible()
    until(page, "document.querySelector('video').readyState >= 2")
    length = video.evaluate("video => video.duration")
    assert abs(length - SECONDS) < 0.1
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download").click()
    assert saved.value.suggested_filename == "First of all.mp4"
    assert b"ftyp" in saved.value.path().read_bytes()[:16]

    job = page.url.rpartition("/")[2]
    made["first"] = job
    spans = exported(live, job)
    assert {span["service"] for span in spans if span["trace_id"] == trace_id} >= {
        "audio", "face", "infer", "encode"
    }, "one trace, from the browser on"  # fmt: skip
    page.locator("summary", has_text="Where the time went").click()
    expect(page.locator(".waterfall")).to_contain_text("encode_video")


def exported(live: Gateway, job: str) -> list[dict[str, Any]]:
    """The spans of a render, once that of encode and the summary are exported."""
    until = time.monotonic() + 60
    with live.client() as client:
        while True:
            spans: list[dict[str, Any]] = client.get(f"/v1/renders/{job}/trace").json().get("spans", [])
            if {"encode_video", "render"} <= {span["name"] for span in spans}:
                return spans
            assert time.monotonic() < until, spans
            time.sleep(0.2)


def test_an_error_says_what_to_do_and_the_files_stay(live: Gateway, opened: Opens) -> None:
    page = opened(live)
    out = io.BytesIO()
    Image.new("RGB", (400, 400), (90, 140, 200)).save(out, "PNG")
    choose(page, portrait=("sky.png", "image/png", out.getvalue()), speech=speech())
    page.get_by_role("button", name="Create video").click()
    status(page, "Not possible")
    says(page, "No face was found in the picture.")
    says(page, "Use a clear photo of one person who looks at the camera.")
    expect(page.locator("video")).to_have_count(0)
    page.get_by_role("button", name="Start again").click()
    heading(page, "Make a portrait speak")
    expect(page.get_by_alt_text("Your portrait: sky.png")).to_be_visible()
    expect(page.get_by_label("Your recording: hello.wav")).to_be_visible()


def tab_to(page: Page, name: str) -> None:
    """Press the tab key until the control of that name has the focus."""
    words = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent).trim()"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(words) == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {name} can be seen"
            return
    pytest.fail(f"the tab key does not reach {name}")


@pytest.mark.slow
def test_the_keyboard_alone_submits(live: Gateway, opened: Opens, made: dict[str, str]) -> None:
    page = opened(live)
    heading(page, "Make a portrait speak")
    # The key opens a window of the system, which no test can use: the files are set as it would set them.
    tab_to(page, "Choose file")
    choose(page, portrait=PORTRAIT)
    tab_to(page, "Choose file")
    choose(page, speech=speech("keys.wav"))
    tab_to(page, "Create video")
    expect(page.get_by_role("button", name="Create video")).not_to_have_attribute("aria-disabled", "true")
    page.keyboard.press("Enter")
    status(page, "Done")
    assert page.evaluate("document.activeElement.tagName") == "H1", "the focus follows the view"
    made["second"] = page.url.rpartition("/")[2]


@pytest.mark.slow
def test_two_videos_side_by_side(live: Gateway, opened: Opens, made: dict[str, str]) -> None:
    page = opened(live, "/renders")
    heading(page, "Videos")
    page.get_by_label("Search").fill("First of")
    expect(page.locator(".tile")).to_have_count(1)
    page.get_by_label("Compare First of all").check()
    page.get_by_label("Search").fill("")
    page.get_by_label(f"Compare Video {made['second'][:8]}").check()
    page.get_by_role("link", name="Compare side by side").click()
    heading(page, "Side by side")
    expect(page.locator("video")).to_have_count(2)
    page.get_by_role("button", name="Play both").click()
    until(page, "[...document.querySelectorAll('video')].every((video) => video.currentTime > 0)")
    expect(page.get_by_role("row", name="Size")).to_have_class("differs")


@pytest.mark.slow
def test_a_batch_from_files_and_a_table(live: Gateway, opened: Opens) -> None:
    page = opened(live, "/batch")
    heading(page, "Many videos at once")
    table = (
        'portrait,speech,title,min_resolution\nportrait.png,a.wav,"Ann, the first",256\nportrait.png,b.wav,Ben,256\n'
    )
    files = [
        ("portrait.png", "image/png", Path(PORTRAIT).read_bytes()),
        *map(speech, ("a.wav", "b.wav", "alone.wav")),
        ("list.csv", "text/csv", table.encode()),
    ]
    page.locator("input[data-role=batch]").set_input_files(
        [{"name": name, "mimeType": kind, "buffer": content} for name, kind, content in files]
    )
    says(page, "Without a partner: alone.wav")
    page.get_by_role("button", name="Create 2 videos").click()
    says(page, "2 of 2 submitted.")
    page.get_by_role("link", name="Watch the batch").click()
    says(page, "2 of 2 done, 0 not")
    expect(page.get_by_role("link", name="Ann, the first")).to_be_visible()


@pytest.mark.slow
def test_a_video_is_deleted_after_a_question(live: Gateway, opened: Opens, made: dict[str, str]) -> None:
    page = opened(live, f"/renders/{made['first']}")
    remove = page.locator("main").get_by_role("button", name="Delete")
    remove.click()
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    remove.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    heading(page, "Videos")
    with live.client() as client:
        assert client.get(f"/v1/renders/{made['first']}/video").status_code in (404, 410)


@pytest.mark.slow
def test_speech_from_the_microphone_and_a_picture_from_the_camera(live: Gateway, opened: Opens) -> None:
    page = opened(live)
    page.get_by_role("button", name="Take a picture").click()
    shoot = page.get_by_role("dialog").get_by_role("button", name="Take picture")
    expect(shoot).not_to_have_attribute("aria-disabled", "true")
    shoot.click()
    expect(page.get_by_alt_text("Your portrait: camera.jpg")).to_be_visible()
    page.get_by_role("button", name="Record").click()
    expect(page.locator(".recording")).to_have_text(re.compile("0:0[1-9]"))
    page.get_by_role("button", name="Stop and use").click()
    expect(page.get_by_label("Your recording: recording.webm")).to_be_visible()
    with page.expect_response(lambda answer: answer.url.endswith("/v1/renders")) as answered:
        page.get_by_role("button", name="Create video").click()
    job = json.loads(answered.value.text())["job_id"]
    status(page, "Not possible")
    # The camera of the test shows no person; that the recording is read comes first, in the stage audio.
    says(page, "No face was found in the picture.")
    with live.client() as client:
        assert client.get(f"/v1/renders/{job}").json()["stages"]["audio"]["state"] == "finished"
