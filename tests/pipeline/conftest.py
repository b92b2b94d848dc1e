"""The services with the session's broker and object store, and a client."""

import io
import json
import os
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace

import av
import pytest

from shared.local import stack as local
from shared.local.stack_file import Stack
from shared.messages.pipeline import SERVICES
from tests.conftest import ROOT, Infrastructure
from tests.pipeline.client import Client

DELIVERIES = "deliveries"
"""Alias of an output bucket."""
MAX_SPEECH_S = 20.0
"""Limit of the services under test, so that a test can make a file that is too long within seconds."""
MAX_PORTRAIT_MB = 1
"""Limit of the services under test, so that a test can upload a file that is too large; the bundled portrait has
0.8 MB."""


@dataclass(frozen=True)
class Pipeline:
    """Running services."""

    infrastructure: Infrastructure
    stack: Stack

    def up(self, **scale: int) -> "Pipeline":
        """Repair or scale the services: one replica of each stage but those in the arguments."""
        return replace(self, stack=local.up(self.infrastructure.settings, dict.fromkeys(SERVICES, 1) | scale))


@pytest.fixture(scope="session")
def pipeline(stack: Infrastructure) -> Iterator[Pipeline]:
    """The services, from the first test that requests them until the end of the session."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LIPSTAGE_MAX_SPEECH_S", str(MAX_SPEECH_S))
        environment.setenv("LIPSTAGE_MAX_PORTRAIT_MB", str(MAX_PORTRAIT_MB))
        environment.setenv(
            "LIPSTAGE_OUTPUT_BUCKETS", json.dumps({DELIVERIES: "lipstage-deliveries", "gone": "no-such"})
        )
        # A batch of spans is sent once: the usual 2 s would lose it where the receiver waits for a busy disk.
        environment.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "30")
        assert os.environ["KAFKA_BOOTSTRAP_SERVERS"] == stack.bootstrap_servers
        yield Pipeline(stack, local.up(stack.settings))
        local.up(stack.settings, dict.fromkeys(SERVICES, 0))


@pytest.fixture(scope="session")
def client(pipeline: Pipeline) -> Iterator[Client]:
    """A client that reads every event since the start of the services."""
    made = Client(pipeline.stack.bootstrap_servers, pipeline.stack.traces_url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def portrait(client: Client) -> str:
    """Key of the bundled portrait."""
    return client.upload((ROOT / "samples" / "portrait.png").read_bytes())


def unseen_portrait() -> bytes:
    """The bundled portrait with one changed pixel, so that no stage finds its output in the cache."""
    with av.open(str(ROOT / "samples" / "portrait.png")) as file:
        picture = next(file.decode(video=0)).to_image()
    picture.putpixel((0, 0), tuple(os.urandom(3)))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def unseen_start() -> float:
    """An offset in the bundled speech that no other test of this session uses, seconds."""
    return 0.5 + int.from_bytes(os.urandom(2)) / 16_000


def spoken(seconds: float, start: float = 0.5) -> bytes:
    """A WAV file cut from the bundled speech."""
    with wave.open(str(ROOT / "samples" / "speech.wav")) as source:
        rate = source.getframerate()
        source.setpos(round(start * rate))
        frames = source.readframes(round(seconds * rate))
    out = io.BytesIO()
    with wave.open(out, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(rate)
        target.writeframes(frames)
    return out.getvalue()
