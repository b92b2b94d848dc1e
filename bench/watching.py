"""A preview in a browser: headless Chromium plays the segments of a job that is still rendered.

    .venv/bin/python -m bench.watching [--frame FRAME.png] [--browser chromium]

Needs a running local stack with ``LIPSTAGE_OUTPUT_BUCKETS='{"previews": "lipstage-previews"}'``, and a Chromium with
H.264. The page reads the playlist again and again and appends segments to a Media Source, as HLS players do; it reports
the first picture that it shows after half a second of play, drawn to a canvas.
"""

import argparse
import base64
import json
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from pydantic import JsonValue

from bench.overlap import ALIAS, BUCKET
from bench.realtime import unseen
from shared.client import Client
from shared.local.deployment import running_deployment
from shared.local.settings import LocalSettings
from shared.messages.events import Done

PAGE = b"""<!doctype html><video id=v muted></video><script>
const video = document.getElementById('v'), media = new MediaSource(), have = new Set();
video.src = URL.createObjectURL(media);
const get = async name => { const r = await fetch(name, {cache: 'no-store'}); return r.ok ? r : null; };
const append = (buffer, data) => new Promise((ok, bad) => {
  buffer.onupdateend = ok; buffer.onerror = bad; buffer.appendBuffer(data); });
let shown = false;
function look() {
  if (shown || video.currentTime < 0.5) return requestAnimationFrame(look);
  shown = true;
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext('2d').drawImage(video, 0, 0);
  fetch('/seen', {method: 'POST', body: JSON.stringify({time: video.currentTime, png: canvas.toDataURL()})});
}
media.onsourceopen = async () => {
  const buffer = media.addSourceBuffer('video/mp4; codecs="avc1.64001f, mp4a.40.2"');
  for (;;) {
    const answer = await get('/index.m3u8');
    const lines = answer ? (await answer.text()).split('\\n') : [];
    const init = lines.filter(l => l.startsWith('#EXT-X-MAP')).map(l => l.split('"')[1]);
    for (const name of [...init, ...lines.filter(l => l && !l.startsWith('#'))]) {
      if (have.has(name)) continue;
      await append(buffer, await (await get('/' + name)).arrayBuffer());
      have.add(name);
      if (have.size == 2) { video.play(); look(); }
    }
    if (lines.includes('#EXT-X-ENDLIST')) return media.endOfStream();
    await new Promise(r => setTimeout(r, 50));
  }
};
</script>"""


class Page:
    """The page and the objects of one job, on a local port."""

    def __init__(self, client: Client, prefix: str) -> None:
        self.seen: dict[str, Any] = {}
        self.shown = threading.Event()
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = PAGE if self.path == "/" else page.read(client, prefix + self.path)
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            def do_POST(self) -> None:
                page.seen = {"at": time.monotonic(), **json.loads(self.rfile.read(int(self.headers["content-length"])))}
                self.send_response(204)
                self.end_headers()
                page.shown.set()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    @staticmethod
    def read(client: Client, key: str) -> bytes | None:
        """An object of the output bucket; None when it does not exist."""
        try:
            return bytes(client.connection.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        except ClientError:
            return None


def main() -> None:
    """Play one job, and print when its first picture was shown and when it was done, seconds after the request."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frame", type=Path)
    parser.add_argument("--browser", default="chromium")
    options = parser.parse_args()
    with (
        running_deployment(LocalSettings()) as running,
        Client(running, service_name="bench") as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        output: dict[str, JsonValue] = {"bucket": ALIAS, "prefix": "default/watching", "preview": True}
        spec = client.job_spec(*unseen(Path(folder)), output=output)
        page = Page(client, f"default/watching/{spec.job_id}")
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required"]
        browser = subprocess.Popen(
            [options.browser, *flags, f"--user-data-dir={folder}/profile", page.url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(3)  # The browser's start is not measured: it looks for the playlist from now on.
            start, since = client.position(), time.monotonic()
            end = client.wait(client.submit(spec), start=start)
            done_s = time.monotonic() - since
            if not isinstance(end, Done) or not page.shown.wait(60):
                raise SystemExit(f"nothing was shown; the job: {end}")
        finally:
            browser.terminate()
            browser.wait()
    if options.frame:
        options.frame.write_bytes(base64.b64decode(page.seen["png"].partition(",")[2]))
    shown_s = page.seen["at"] - since
    print(json.dumps({"shown_s": round(shown_s, 2), "position_s": page.seen["time"], "done_s": round(done_s, 2)}))


if __name__ == "__main__":
    main()
