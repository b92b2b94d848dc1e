"""Decode the user's speech under limits: one pass, two products.

The file is hostile until shown otherwise: one forced demuxer (stages.audio.sniff), allow-listed decoders, no protocol
but ``file``, and every limit is held against decoded samples while decoding. What a header claims is used for one
thing only, to tell a truncated file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from shared.messages.codes import Code, Rejected
from stages.audio.products import Products, Speech
from stages.audio.resample import Samples, samples_of
from stages.audio.sniff import ALLOWED, Container, sniff

MIN_SPEECH_S = 0.2
DECODERS = frozenset(
    (
        *("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"),
        *("mp3float", "mp3", "aac", "vorbis", "opus", "flac"),
    )
)
_RATES_HZ = range(1000, 384_001)
_MAX_CHANNELS = 8
_MISSING = 0.02
_MISSING_S = 0.1
"""A file lacking more than this share of the length it states, and more than a syllable, is truncated or damaged."""
_CODEC_FRAMES = 2
"""An encoder pads the last frame and may add one; MP4 notes how much of that is no sound."""


def decode(path: Path, sound: Path, max_s: float, checkpoint: Callable[[], None]) -> Speech:
    """Decode a speech file; writes the 48 kHz product to ``sound`` as it goes.

    ``checkpoint`` is called about once per decoded second. Raises Rejected: AUDIO_UNREADABLE (not audio, damaged,
    truncated), AUDIO_EMPTY (no samples), AUDIO_TOO_SHORT (under 0.2 s), AUDIO_TOO_LONG (over ``max_s``, as soon as
    that much is decoded).
    """
    container = sniff(path)
    if container.missing > _MISSING:
        raise _unreadable("The speech file is truncated: its end is missing.")
    try:
        with _open(path, container) as file:
            return _decode(file, container, sound, max_s, checkpoint)
    except av.error.FFmpegError as e:
        raise _unreadable("The speech file can't be opened: it is damaged or truncated.") from e


def _open(path: Path, container: Container) -> InputContainer:
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": "mov\\,mp4\\,m4a\\,3gp\\,3g2\\,mj2" if container.demuxer == "mp4" else container.demuxer,
        "codec_whitelist": ",".join(sorted(DECODERS)),
    }
    # Tags in other encodings than UTF-8 are common in old files and nothing to us.
    return av.open(f"file:{path}", format=container.demuxer, options=options, metadata_errors="replace")


def _decode(
    file: InputContainer, container: Container, sound: Path, max_s: float, checkpoint: Callable[[], None]
) -> Speech:
    if not file.streams.audio:
        raise _unreadable("The speech file has no audio track.")
    stream = file.streams.audio[0]
    codec = stream.codec_context.codec.name if stream.codec_context else "unknown"
    if codec not in DECODERS:
        raise _unreadable(f"The speech is coded as {codec}, which is not accepted.")
    promised_s = None
    if container.states_length and stream.duration and stream.time_base:
        promised_s = float(stream.duration * stream.time_base)

    products: Products | None = None
    with sound.open("wb") as out:
        for block, rate, layout in _blocks(file, stream, max_s):
            checkpoint()
            if products is None:
                products = Products(rate, layout)
            out.write(products.push(block))
        if products is None or products.samples == 0:
            raise Rejected(Code.AUDIO_EMPTY, "The speech file holds no samples.", field="speech")
        out.write(products.finish())

    duration_s = products.samples / products.rate
    if promised_s is not None and promised_s - duration_s > max(_MISSING * promised_s, _MISSING_S):
        raise _unreadable(
            f"The speech file is truncated or damaged: {duration_s:.1f} s of {promised_s:.1f} s are there."
        )
    speech = Speech(codec, products.rate, len(products.layout), duration_s, products.pcm(), sound, products.channels)
    padding_s = _CODEC_FRAMES * (stream.codec_context.frame_size or 0) / products.rate
    if container.demuxer == "mp4" and promised_s and 0 < duration_s - promised_s <= padding_s:
        speech = speech.cut(promised_s)
    if speech.duration_s < MIN_SPEECH_S:
        raise _too_short(speech.duration_s)
    return speech


Block = tuple[Samples, int, tuple[str, ...]]


def _blocks(file: InputContainer, stream: av.AudioStream, max_s: float) -> Iterator[Block]:
    """Decoded float32 blocks [channels, about one second] with rate and channel names.

    Raises Rejected when the limit is reached, a packet can't be decoded or a value is no number.
    """
    gather: av.AudioResampler | None = None
    rate, seen = 0, 0
    layout: tuple[str, ...] = ()
    try:
        for packet in file.demux(stream):
            for frame in packet.decode():
                if gather is None:
                    rate, layout = frame.sample_rate, tuple(channel.name for channel in frame.layout.channels)
                    if rate not in _RATES_HZ or not 1 <= len(layout) <= _MAX_CHANNELS:
                        raise _unreadable(f"The speech file has {len(layout)} channels at {rate} Hz.")
                    gather = av.AudioResampler("fltp", frame.layout, rate, frame_size=rate)
                seen += frame.samples
                if seen > max_s * rate:
                    raise _too_long(max_s)
                frame.pts = None
                for block in gather.resample(frame):
                    yield _finite(samples_of(block)), rate, layout
        for block in gather.resample(None) if gather is not None else ():
            yield _finite(samples_of(block)), rate, layout
    except av.error.FFmpegError as e:
        raise _unreadable(f"The speech file is damaged or truncated after {seen / max(rate, 1):.1f} s.") from e
    except ValueError as e:  # What the resampler says to a frame unlike the first.
        raise _unreadable("The speech file changes its sample rate or channels on the way.") from e


def _finite(block: Samples) -> Samples:
    if not np.isfinite(block).all():
        raise _unreadable("The speech file holds sample values that are not numbers.")
    return block


def _too_short(duration_s: float) -> Rejected:
    message = f"The speech is {duration_s:.3f} s long; at least {MIN_SPEECH_S:g} s are needed."
    return Rejected(Code.AUDIO_TOO_SHORT, message, field="speech", allowed=f">= {MIN_SPEECH_S:g} s")


def _too_long(max_s: float) -> Rejected:
    message = f"The speech is longer than {max_s:g} s."
    return Rejected(Code.AUDIO_TOO_LONG, message, field="speech", allowed=f"{MIN_SPEECH_S:g}..{max_s:g} s")


def _unreadable(message: str) -> Rejected:
    return Rejected(Code.AUDIO_UNREADABLE, message, field="speech", allowed=ALLOWED)
