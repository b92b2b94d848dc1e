"""The preview in the page: it grows, the finished video goes on with it, and its faults hide neither."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from shared.client.connection import Connection
from shared.messages.refs import InputRef, OutputRef
from shared.storage import keys, markers
from shared.storage.markers import RequestRecord
from stages.encode.fragments import Fragments
from stages.encode.mp4 import Coding, Mp4Writer
from tests.client.services import Services
from tests.gateway.conftest import Gateway
from tests.gateway.page.conftest import Opens, choose, status, until
from tests.gateway.page.test_first_video import PORTRAIT
from tests.pipeline.conftest import spoken, unseen_start

SIZE, SECONDS = 64, 4
SPOKEN_S = 8.0
"""At most: so long that its first segment comes well before its end."""
OUTPUT = OutputRef(bucket="artifacts", prefix="acme/page", preview=True)
PREVIEW, VIDEO = "Preview of the video", "Finished video"


@dataclass(frozen=True)
class Encoded:
    """A video, and the segments of its preview: the initialisation, then one for each group of pictures."""

    video: bytes
    segments: list[bytes]


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """What the encode stage makes of a grey picture that brightens."""
    segments: list[bytes] = []
    path = tmp_path_factory.mktemp("preview") / "video.mp4"
    sound = np.zeros((48_000 * SECONDS, 1), np.float32)
    frames = np.full((25 * SECONDS, SIZE * 3 // 2, SIZE), 128, np.uint8)
    frames[:, :SIZE] = np.arange(25 * SECONDS)[:, None, None] + 60
    with (
        Fragments(lambda segment, _: segments.append(segment)) as preview,
        Mp4Writer(path, SIZE, SIZE, sound, {}, Coding(), [preview]) as writer,
    ):
        writer.write(frames)
    return Encoded(path.read_bytes(), segments)


@dataclass(frozen=True)
class Rendering:
    """A render of acme that is being encoded; the test publishes its preview."""

    job: str
    connection: Connection
    services: Services

    def publish(self, encoded: Encoded, count: int, attempt: str = "a1") -> None:
        """The first ``count`` segments."""
        folder = f"preview/{attempt}"
        lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:2", f'#EXT-X-MAP:URI="{folder}/init.mp4"']
        self._put(f"{folder}/init.mp4", encoded.segments[0])
        for number in range(count):
            self._put(f"{folder}/{number:05d}.mp4", encoded.segments[number + 1])
            lines += ["#EXTINF:2.000,", f"{folder}/{number:05d}.mp4"]
        end = ["#EXT-X-ENDLIST"] if count == len(encoded.segments) - 1 else []
        self._put("index.m3u8", "\n".join([*lines, *end, ""]).encode())

    def progress(self, done: int) -> None:
        """``done`` of 100 frames are encoded."""
        self.services.event("progress", self.job, tenant="acme", stage="encode", percent=float(done), done=done,
                            total=100)  # fmt: skip

    def _put(self, name: str, content: bytes) -> None:
        key = keys.output_folder("acme", OUTPUT.prefix, self.job) + name
        self.connection.s3.put_object(Bucket=self.connection.storage_settings.bucket, Key=key, Body=content)


@pytest.fixture
def rendering(quiet: Connection, services: Services) -> Rendering:
    job = uuid.uuid4().hex
    inputs = (InputRef(key="acme/p"), InputRef(key="acme/s"))
    record = RequestRecord(request_id="r", body_sha256="0" * 64, inputs=inputs, output=OUTPUT)
    markers.claim_request(quiet.documents, "acme", job, record)
    services.event("accepted", job, tenant="acme", engine="puppet", labels={"title": "Seen early"})
    services.event("started", job, tenant="acme", stage="encode")
    made = Rendering(job, quiet, services)
    made.progress(10)
    return made


Watches = Callable[[Rendering], Page]


@pytest.fixture
def watches(gateway: Gateway, opened: Opens) -> Watches:
    """Opens the view of a render in the browser that asked for its preview."""

    def watch(rendering: Rendering) -> Page:
        page = opened(gateway, key="acme")
        kept = json.dumps({rendering.job: {"preview": True, "at": 1}})
        page.evaluate("kept => localStorage.setItem('lipstage.settings', kept)", kept)
        page.goto(f"{gateway.url}/#/renders/{rendering.job}")
        return page

    return watch


def test_a_preview_grows_and_the_finished_video_goes_on_with_it(
    rendering: Rendering, watches: Watches, services: Services, encoded: Encoded
) -> None:
    rendering.publish(encoded, 1)
    page = watches(rendering)
    expect(page.get_by_label(PREVIEW)).to_be_visible()
    until(page, "document.querySelector('video').currentTime > 0")
    assert page.evaluate("document.querySelector('video').buffered.end(0)") < 2.2, "there is no more of it"
    rendering.publish(encoded, len(encoded.segments) - 1)
    until(page, f"Math.abs(document.querySelector('video').duration - {SECONDS}) < 0.1")
    expect(page.locator(".timeline li.running")).to_have_count(1)
    page.get_by_label(PREVIEW).evaluate("video => { video.pause(); video.currentTime = 2.5; }")
    services.done(rendering.job, encoded.video, tenant="acme")
    video = page.get_by_label(VIDEO)
    expect(video).to_be_visible()
    until(page, "document.querySelector('video').readyState >= 2")
    assert video.evaluate("video => [video.currentTime, video.paused, video.muted]") == [2.5, True, False]


def test_a_preview_that_fails_leaves_the_progress_and_the_video(
    rendering: Rendering, watches: Watches, services: Services, encoded: Encoded
) -> None:
    """The first attempt is given up after a segment; another one begins anew, with a file that no browser plays."""
    rendering.publish(encoded, 1)
    page = watches(rendering)
    expect(page.get_by_label(PREVIEW)).to_be_visible()
    with page.expect_request("**/preview/preview/a2/init.mp4") as asked:
        rendering.publish(Encoded(b"", [b"no video", b"either"]), 1, "a2")
        expect(page.get_by_label(PREVIEW)).to_have_count(0)
        rendering.progress(40)
    assert asked.value.response() is not None
    expect(page.locator(".screen .big")).to_be_visible()
    rendering.progress(80)
    expect(page.locator(".timeline li.running")).to_contain_text("80 %")
    expect(page.locator(".screen .big")).to_be_visible()
    services.done(rendering.job, encoded.video, tenant="acme")
    expect(page.get_by_label(VIDEO)).to_be_visible()


@pytest.mark.slow
def test_a_browser_without_media_source_plays_hls_itself(
    rendering: Rendering, watches: Watches, encoded: Encoded
) -> None:
    rendering.publish(encoded, len(encoded.segments) - 1)
    page = watches(rendering)
    page.add_init_script("delete globalThis.MediaSource")
    page.reload()
    expect(page.get_by_label(PREVIEW)).to_be_visible()
    assert page.get_by_label(PREVIEW).get_attribute("src") == f"/v1/renders/{rendering.job}/preview/index.m3u8"


@pytest.mark.slow
def test_a_video_is_seen_before_it_is_finished(live: Gateway, opened: Opens) -> None:
    page = opened(live)
    choose(page, portrait=PORTRAIT, speech=("long.wav", "audio/wav", spoken(SPOKEN_S, unseen_start())))
    # In its full size: a quick machine makes the smallest one in a second, too soon to look at a preview.
    page.locator("summary", has_text="Settings").first.click()
    page.get_by_label("Watch the video while it is made").check()
    page.get_by_role("button", name="Create video").click()
    expect(page.get_by_label(PREVIEW)).to_be_visible()
    status(page, "Done")
    expect(page.get_by_label(VIDEO)).to_be_visible()
