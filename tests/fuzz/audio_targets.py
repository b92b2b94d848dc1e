"""Speech in every container that is accepted: by the parsers of the stage, then by libav."""

import functools
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av

from shared.messages.codes import Rejected
from stages.audio import STAGE
from stages.audio.decode import decode
from stages.audio.sniff import sniff
from tests.audio.pcm_files import aiff, au, chunk, extensible, fmt, riff
from tests.audio.tones import record, tone
from tests.fuzz.media_parts import boxes, chunks, elements, ogg_pages, ogg_sums
from tests.fuzz.mutation import mutate_bytes, structured
from tests.fuzz.target import Mutator, Target, ending_of

MAX_S = 600.0
SECONDS = 0.25
SAMPLES = Path(__file__).parents[1] / "audio" / "samples"
PCM = bytes(range(256)) * 160
UNKNOWN = 2**32 - 1
_ID3 = b"ID3\x04\0\0\0\0\0\x14TIT2\0\0\0\x0a\0\0\3a title.."

Recording = tuple[str, str, str, int, dict[str, str] | None]
"""Container, codec, sample format, rate in Hz, options of the container."""
LIVE = {"live": "1"}
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
RECORDINGS: dict[str, tuple[Recording, ...]] = {
    "wav": (
        ("wav", "pcm_s16le", "s16", 16_000, None),
        ("wav", "pcm_mulaw", "s16", 8000, None),
        ("wav", "pcm_f32le", "flt", 16_000, None),
    ),
    "mp3": (("mp3", "libmp3lame", "fltp", 16_000, None), ("mp3", "libmp3lame", "fltp", 44_100, {"write_xing": "0"})),
    "aac": (("adts", "aac", "fltp", 16_000, None),),
    "mp4": (
        ("ipod", "aac", "fltp", 16_000, None),
        ("ipod", "alac", "s16p", 16_000, None),
        ("mp4", "aac", "fltp", 16_000, FRAGMENTED),
        ("mov", "pcm_s16le", "s16", 16_000, None),
        ("3gp", "libopencore_amrnb", "s16", 8000, None),
    ),
    "ogg": (
        ("ogg", "libopus", "flt", 16_000, None),
        ("ogg", "libvorbis", "fltp", 16_000, None),
        ("ogg", "flac", "s16", 16_000, None),
    ),
    "matroska": (
        ("webm", "libopus", "flt", 48_000, LIVE),
        ("webm", "libvorbis", "fltp", 16_000, None),
        ("matroska", "aac", "fltp", 16_000, None),
        ("matroska", "flac", "s16", 16_000, None),
        ("matroska", "alac", "s16p", 16_000, None),
        ("matroska", "pcm_s16le", "s16", 16_000, None),
        ("matroska", "libmp3lame", "fltp", 16_000, None),
    ),
    "flac": (("flac", "flac", "s16", 16_000, None),),
    "amr": (("amr", "libopencore_amrnb", "s16", 8000, None),),
}
MUTATORS: dict[str, Mutator] = {
    "wav": structured(chunks(12, big=False)),
    "aiff": structured(chunks(12, big=True)),
    "mp4": structured(boxes),
    "ogg": structured(ogg_pages, ogg_sums),
    "matroska": structured(elements),
}
MADE: dict[str, tuple[bytes, ...]] = {
    "wav": (
        riff(chunk(b"fmt ", extensible(1, 4, 24)), chunk(b"data", PCM)),
        riff(chunk(b"fmt ", fmt(1, 24, channels=2)), chunk(b"LIST", b"INFO" + bytes(20)), chunk(b"data", PCM)),
        riff(
            chunk(b"ds64", bytes(28)), chunk(b"fmt ", fmt(1, 16)), chunk(b"data", PCM, stated=2**32 - 1), kind=b"RF64"
        ),
        riff(chunk(b"fmt ", fmt(1, 16, order=">"), order=">"), chunk(b"data", PCM, order=">"), kind=b"RIFX"),
        riff(chunk(b"fmt ", fmt(0x11, 4)), chunk(b"data", PCM)),
    ),
    "aiff": (
        aiff(16, PCM, frames=20_480),
        aiff(24, PCM, frames=13_653, kind=b"sowt"),
        aiff(32, PCM, frames=10_240, kind=b"fl32"),
        aiff(8, PCM, frames=40_960, kind=b"ulaw"),
    ),
    "au": (au(3, PCM), au(1, PCM), au(6, PCM, comment=b"a comment"), au(2, PCM, stated=0xFFFFFFFF)),
}


def decode_speech(path: Path) -> str:
    """Decode as the stage does: a rejection of the speech, or sound."""
    try:
        speech = decode(path, path.with_name("sound.f32"), MAX_S, lambda: None)
    except Rejected as rejected:
        assert rejected.code.startswith("AUDIO_"), rejected.code
        return ending_of(rejected)
    assert 0.2 <= speech.duration_s <= MAX_S
    assert len(speech.pcm) <= MAX_S * 16_000
    return f"sound: {speech.codec}, {speech.channels} channels"


def sniff_speech(path: Path) -> str:
    """Our own parsers alone: a container, or a rejection."""
    try:
        container = sniff(path)
    except Rejected as rejected:
        return ending_of(rejected)
    assert 0 <= container.missing <= 1, container
    assert 0 <= container.start <= path.stat().st_size or container.missing == 1, container
    return f"{container.demuxer}, {container.missing > 0}"


@functools.cache
def seeds(name: str) -> Sequence[bytes]:
    """Recordings of the format, as far as this libav can write them."""
    made = list(MADE.get(name, ()))
    with tempfile.TemporaryDirectory() as folder:
        for container, codec, form, rate, options in RECORDINGS.get(name, ()):
            if codec in av.codecs_available:
                path = record(
                    Path(folder) / "recording",
                    tone(rate, SECONDS),
                    rate,
                    container=container,
                    codec=codec,
                    sample_format=form,
                    options={"b": "12200"} if codec.endswith("amrnb") else None,
                    container_options=options,
                )
                made.append(path.read_bytes())
    if name in ("mp3", "aac"):
        made += [_ID3 + made[0]]
    if name == "mp4":
        made.append((SAMPLES / "alac.m4a").read_bytes())
    return made


NAMES = ("wav", "aiff", "au", "mp3", "aac", "mp4", "ogg", "matroska", "flac", "amr")


def mutate_any(rng: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """By the structure of any format."""
    return rng.choice([mutate_bytes, *MUTATORS.values()])(rng, data, pool)


TARGETS = [
    *(
        Target(
            f"audio.{name}",
            functools.partial(seeds, name),
            decode_speech,
            MUTATORS.get(name, mutate_bytes),
            memory_mb=STAGE.memory_mb or 0,
        )
        for name in NAMES
    ),
    Target("audio.parsers", lambda: [one for name in NAMES for one in seeds(name)], sniff_speech, mutate_any,
           in_python=True),
]  # fmt: skip
