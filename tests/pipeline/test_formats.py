"""Every input format is rendered by the real services."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import ROOT
from tests.pipeline.client import ARTIFACTS, Client
from tests.pipeline.conftest import spoken

SECONDS = 0.4
SOUNDS = [
    # name, container, codec, rate, layout, sample format
    ("wav-u8", "wav", "pcm_u8", 11025, "mono", "u8"),
    ("wav-16", "wav", "pcm_s16le", 8000, "mono", "s16"),
    ("wav-16-stereo", "wav", "pcm_s16le", 44100, "stereo", "s16"),
    ("wav-24", "wav", "pcm_s24le", 48000, "stereo", "s32"),
    ("wav-32", "wav", "pcm_s32le", 96000, "mono", "s32"),
    ("wav-float", "wav", "pcm_f32le", 22050, "stereo", "flt"),
    ("wav-eight-channels", "wav", "pcm_s16le", 48000, "7.1", "s16"),
    ("mp3", "mp3", "libmp3lame", 44100, "stereo", "s16p"),
    ("mp3-mono", "mp3", "libmp3lame", 16000, "mono", "s16p"),
    ("m4a", "ipod", "aac", 48000, "stereo", "fltp"),
    ("m4a-mono", "ipod", "aac", 22050, "mono", "fltp"),
    ("aac-bare", "adts", "aac", 44100, "mono", "fltp"),
    ("ogg-vorbis", "ogg", "vorbis", 44100, "stereo", "fltp"),
    ("ogg-opus", "ogg", "libopus", 48000, "mono", "s16"),
    ("wav-mulaw", "wav", "pcm_mulaw", 8000, "mono", "s16"),
    ("aiff", "aiff", "pcm_s24be", 44100, "stereo", "s32"),
    ("m4a-alac", "ipod", "alac", 44100, "stereo", "s16p"),
    ("webm-opus", "webm", "libopus", 48000, "mono", "s16"),
    ("mkv-aac", "matroska", "aac", 48000, "stereo", "fltp"),
    ("flac", "flac", "flac", 44100, "stereo", "s16"),
    ("flac-24", "flac", "flac", 96000, "mono", "s32"),
]


def portrait() -> Image.Image:
    with Image.open(Path(ROOT) / "samples" / "portrait.png") as image:
        return image.convert("RGB")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned() -> bytes:
    """A phone's picture: stored rotated, with an EXIF orientation (6: rotate by 90 degrees clockwise)."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(portrait().transpose(Image.Transpose.ROTATE_90), "JPEG", quality=92, exif=exif)


def with_alpha() -> Image.Image:
    image = portrait().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 255))
    image.paste((0, 0, 0, 0), (0, 0, 40, 40))
    return image


def pictures() -> dict[str, bytes]:
    image = portrait()
    return {
        "jpeg": encoded(image, "JPEG", quality=90),
        "jpeg-exif": turned(),
        "jpeg-cmyk": encoded(image.convert("CMYK"), "JPEG", quality=92),
        "jpeg-grey": encoded(image.convert("L"), "JPEG", quality=90),
        "png-alpha": encoded(with_alpha(), "PNG"),
        "png-palette": encoded(image.quantize(256), "PNG"),
        "webp": encoded(image, "WEBP", quality=90),
        "webp-lossless-alpha": encoded(with_alpha(), "WEBP", lossless=True),
        "bmp": encoded(image, "BMP"),
        "avif": encoded(image, "AVIF", quality=80),
        "gif": encoded(image, "GIF"),
        "heic": (Path(ROOT) / "tests" / "face" / "data" / "portrait.heic").read_bytes(),
        "png-16-bit-grey": encoded(Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257), "PNG"),
    }


def samples(seconds: float) -> NDArray[np.float32]:
    """Speech, mono samples [n] at 16 kHz."""
    with av.open(io.BytesIO(spoken(seconds, 2.0))) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)]).astype(np.float32) / 32768


def sound(container: str, codec: str, rate: int, layout: str, sample_format: str, seconds: float = SECONDS) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        # FFmpeg calls its own Vorbis encoder experimental.
        stream = file.add_stream(codec, rate=rate, options={"strict": "experimental"})
        stream.codec_context.layout = layout
        stream.codec_context.format = sample_format
        stream.codec_context.time_base = Fraction(1, rate)
        frame = av.AudioFrame.from_ndarray(samples(seconds)[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        frame.pts = 0
        resampler = av.AudioResampler(format=sample_format, layout=layout, rate=rate,
                                      frame_size=stream.codec_context.frame_size or None)  # fmt: skip
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


@pytest.fixture(scope="module")
def jobs(client: Client, portrait: str) -> dict[str, str]:
    """Jobs by name, submitted at once: the services work while the next files are made."""
    jobs: dict[str, str] = {}
    for name, *how in SOUNDS:
        jobs[name] = client.submit(portrait, client.upload(sound(*how)))
    speech = client.upload(spoken(SECONDS, 2.0))
    for name, data in pictures().items():
        jobs[name] = client.submit(client.upload(data), speech)
    client.wait(jobs.values(), 150)
    return jobs


def test_at_least_twenty_formats_are_tested() -> None:
    assert len(SOUNDS) + len(pictures()) >= 20


@pytest.mark.parametrize("name", [name for name, *_ in SOUNDS] + sorted(pictures()))
def test_format_is_rendered(client: Client, jobs: dict[str, str], name: str) -> None:
    (end,) = client.ends(jobs[name])
    assert end.type == "done", end.body
    # Encoders pad lossy sound to whole frames, or remove the padding: a difference of at most one frame.
    assert abs(end.body["duration_s"] - SECONDS) <= 0.12
    assert abs(end.body["container_drift_ms"]) <= 40
    assert client.video(jobs[name])[4:8] == b"ftyp"


def poster(client: Client, job: str) -> bytes:
    key = client.ends(job)[0].body["poster"]["key"]
    return bytes(client.s3.get_object(Bucket=ARTIFACTS, Key=key)["Body"].read())


def test_rotated_portrait_is_rendered_upright(client: Client, jobs: dict[str, str]) -> None:
    """An unrotated portrait would have no upright face; the poster shows the orientation."""
    still = poster(client, jobs["jpeg-exif"])
    shown = np.asarray(Image.open(io.BytesIO(still)).convert("L").resize((64, 64)), dtype=np.float32)
    upright = np.asarray(portrait().convert("L").resize((64, 64)), dtype=np.float32)
    likeness = [float(np.corrcoef(shown.ravel(), np.rot90(upright, n).ravel())[0, 1]) for n in range(4)]
    assert likeness.index(max(likeness)) == 0
    assert likeness[0] > 0.9


def test_video_metadata_names_it_synthetic_and_its_engine(client: Client, jobs: dict[str, str]) -> None:
    with av.open(io.BytesIO(client.video(jobs["wav-16"]))) as file:
        tags = dict(file.metadata)
    assert tags["title"] == "Synthetic talking head"
    assert "lipstage, engine puppet" in tags["comment"]
    assert tags["description"].startswith("synthetic=true; engine=puppet; digitalsourcetype=http")
    assert b"Synthetic video" in poster(client, jobs["wav-16"])
