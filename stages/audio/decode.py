"""Decode the user's speech under limits: one pass, two products.

The file is hostile until shown otherwise: one forced demuxer (stages.audio.sniff), allow-listed decoders, no protocol
but ``file``, and every limit is held against decoded samples while decoding. What a header claims is used for one
thing only, to tell a truncated file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from stages.audio.blocks import blocks, padding_s
from stages.audio.products import Products, Speech
from stages.audio.refusals import MIN_SPEECH_S, empty, too_short, truncated, unreadable
from stages.audio.sniff import Container, sniff

DECODERS = frozenset(
    (
        *("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"),
        *("mp3float", "mp3", "aac", "vorbis", "opus", "flac"),
    )
)
# Tags in other encodings than UTF-8 are common in old files and nothing to us. PyAV replaces such characters by itself
# from version 19 on, which needs Python 3.12; an older one must be asked to, and 19 refuses the question.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
_MISSING = 0.02
_MISSING_S = (0.1, 0.5)
"""A file is truncated or damaged when it lacks more of the length it states than this share, held between a syllable
and a word."""


def decode(path: Path, sound: Path, max_s: float, checkpoint: Callable[[], None]) -> Speech:
    """Decode a speech file; writes the 48 kHz product to ``sound`` as it goes.

    ``checkpoint`` is called about once per decoded second. Raises Rejected: AUDIO_UNREADABLE (not audio, damaged,
    truncated), AUDIO_EMPTY (no samples), AUDIO_TOO_SHORT (under 0.2 s), AUDIO_TOO_LONG (over ``max_s``, as soon as
    that much is decoded).
    """
    container = sniff(path)
    if container.missing > _MISSING:
        raise unreadable("The speech file is truncated: its end is missing.")
    try:
        with _open(path, container) as file:
            return _decode(file, container, sound, max_s, checkpoint)
    except av.error.FFmpegError as e:
        raise unreadable("The speech file can't be opened: it is damaged or truncated.") from e


def _open(path: Path, container: Container) -> InputContainer:
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": "mov\\,mp4\\,m4a\\,3gp\\,3g2\\,mj2" if container.demuxer == "mp4" else container.demuxer,
        "codec_whitelist": ",".join(sorted(DECODERS)),
    }
    file: InputContainer = av.open(f"file:{path}", format=container.demuxer, options=options, **_TAGS)
    return file


def _decode(
    file: InputContainer, container: Container, sound: Path, max_s: float, checkpoint: Callable[[], None]
) -> Speech:
    if not file.streams.audio:
        raise unreadable("The speech file has no audio track.")
    stream = file.streams.audio[0]
    codec = stream.codec_context.codec.name if stream.codec_context else "unknown"
    if codec not in DECODERS:
        raise unreadable(f"The speech is coded as {codec}, which is not accepted.")
    promised_s = container.stated_s
    if container.states_length and stream.duration and stream.time_base:
        promised_s = float(stream.duration * stream.time_base)

    products: Products | None = None
    with sound.open("wb") as out:
        for block, rate, layout in blocks(file, stream, max_s, length_is_known=promised_s is not None):
            checkpoint()
            if products is None:
                products = Products(rate, layout)
            out.write(products.push(block))
        if products is None or products.samples == 0:
            raise empty("The speech file holds no samples.")
        out.write(products.finish())

    duration_s = products.samples / products.rate
    if container.missing:  # WAV's bytes go with its samples.
        promised_s = duration_s / (1 - container.missing)
    if promised_s is not None and promised_s - duration_s > _bearable_s(promised_s):
        raise truncated(duration_s, promised_s)
    speech = Speech(codec, products.rate, len(products.layout), duration_s, products.pcm(), sound, products.channels)
    excess_s = duration_s - promised_s if container.states_length and promised_s else 0.0
    # MP4 notes how much of the last frames is padding; where nobody does, it is what passes the limit.
    if promised_s and 0 < excess_s <= padding_s(stream, products.rate):
        speech = speech.cut(promised_s)
    speech = speech.cut(max_s)
    if speech.duration_s < MIN_SPEECH_S:
        raise too_short(speech.duration_s)
    return speech


def _bearable_s(promised_s: float) -> float:
    low, high = _MISSING_S
    return min(max(_MISSING * promised_s, low), high)
