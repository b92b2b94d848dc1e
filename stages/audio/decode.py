"""Decodes the user's speech under limits: one pass, two sample streams.

The file is untrusted: one forced demuxer (stages.audio.sniff), allow-listed decoders, no protocol but ``file`` and
``subfile`` (a part of a file), and every limit is checked on decoded samples while decoding. The length in a header
serves to detect a truncated file only.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from stages.audio.blocks import blocks, padding_s
from stages.audio.container import Container
from stages.audio.cost import longest_s
from stages.audio.rejections import MIN_SPEECH_S, empty, other_codec, too_dense, too_short, truncated, unreadable
from stages.audio.sample_streams import SampleStreams, Speech
from stages.audio.sniff import sniff

DECODERS = frozenset(
    (
        *("pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le"),
        *("pcm_s8", "pcm_s16be", "pcm_s24be", "pcm_s32be", "pcm_f32be", "pcm_f64be", "pcm_mulaw", "pcm_alaw"),
        *("mp3float", "mp3", "aac", "vorbis", "opus", "flac", "alac", "amrnb", "amrwb"),
    )
)
_FAMILIES = {"mp4": "mov,mp4,m4a,3gp,3g2,mj2", "matroska": "matroska,webm"}
"""Names of demuxers that read several formats."""
_MAX_STREAMS = "100"
# Tags in other encodings than UTF-8 are common in old files and are not used. PyAV replaces such characters by default
# from version 19 on, which needs Python 3.12; an older one needs this option, and 19 rejects it.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
_MISSING = 0.02
_MISSING_S = (0.1, 0.5)
"""A file is truncated or damaged when more than this share of its stated length is missing, clamped to between a
syllable and a word."""


def decode(path: Path, sound: Path, max_s: float, raise_if_cancelled: Callable[[], None]) -> Speech:
    """Decode a speech file and write its 48 kHz stream to ``sound``.

    ``raise_if_cancelled`` is called about once per decoded second. Raises Rejected: AUDIO_UNREADABLE (not audio,
    damaged, truncated), AUDIO_EMPTY (no samples), AUDIO_TOO_SHORT (under 0.2 s), AUDIO_TOO_LONG (over ``max_s``, as
    soon as that much is decoded).
    """
    container = sniff(path)
    if container.missing > _MISSING:
        raise unreadable("The speech file is truncated or damaged: a part of it is missing.")
    try:
        with _open(path, container) as file:
            return _decode(file, container, sound, max_s, raise_if_cancelled)
    except av.error.FFmpegError as e:
        raise unreadable("The speech file can't be opened: it is damaged or truncated.") from e


def _open(path: Path, container: Container) -> InputContainer:
    options = {
        "protocol_whitelist": "file,subfile",
        "format_whitelist": _FAMILIES.get(container.demuxer, container.demuxer).replace(",", "\\,"),
        "codec_whitelist": ",".join(sorted(DECODERS)),
        "max_streams": _MAX_STREAMS,
        **({"ignore_chapters": "1"} if container.demuxer == "mp4" else {}),
        **(container.pcm.options() if container.pcm else {}),
    }
    url = f"subfile,,start,{container.start},end,{container.end or 0},,:file:{path}"
    file: InputContainer = av.open(url, format=container.demuxer, options=options, **_TAGS)
    return file


def _decode(
    file: InputContainer, container: Container, sound: Path, max_s: float, raise_if_cancelled: Callable[[], None]
) -> Speech:
    stream = _track(file)
    codec = stream.codec_context.codec.name
    stated_s = container.stated_s
    if container.states_length and stream.duration and stream.time_base:
        stated_s = float(stream.duration * stream.time_base)
        _require_few_values(stream, stated_s, max_s)

    streams: SampleStreams | None = None
    with sound.open("wb") as out:
        for block, rate, layout in blocks(file, stream, max_s, length_is_known=stated_s is not None):
            raise_if_cancelled()
            if streams is None:
                streams = SampleStreams(rate, layout)
            out.write(streams.push(block if container.gain == 1 else block * np.float32(container.gain)))
        if streams is None or streams.samples == 0:
            raise empty("The speech file holds no samples.")
        out.write(streams.finish())

    duration_s = streams.samples / streams.rate
    if container.missing:  # WAV's bytes are proportional to its samples.
        stated_s = duration_s / (1 - container.missing)
    if stated_s is not None and stated_s - duration_s > _tolerance_s(stated_s):
        raise truncated(duration_s, stated_s)
    speech = Speech(codec, streams.rate, len(streams.layout), duration_s, streams.pcm(), sound, streams.channels)
    excess_s = duration_s - stated_s if container.states_length and stated_s else 0.0
    # MP4 states how much of the last frames is padding; in other files padding is what exceeds the limit.
    if stated_s and 0 < excess_s <= padding_s(stream, streams.rate):
        speech = speech.cut(stated_s)
    speech = speech.cut(max_s)
    if speech.duration_s < MIN_SPEECH_S:
        raise too_short(speech.duration_s)
    return speech


def _track(file: InputContainer) -> av.AudioStream:
    """The sound track that a player chooses: the default one, of those that can be decoded."""
    tracks = file.streams.audio
    if not tracks:
        raise unreadable(f"The speech file has {'pictures but ' if file.streams.video else ''}no audio track.")
    accepted = [track for track in tracks if track.codec_context and track.codec_context.codec.name in DECODERS]
    if not accepted:
        context = tracks[0].codec_context
        raise other_codec(f"{context.codec.name} ({context.codec.long_name})" if context else "an unknown codec")
    default = [track for track in accepted if track.disposition & Disposition.default]
    return (default or accepted)[0]


def _require_few_values(stream: av.AudioStream, stated_s: float, max_s: float) -> None:
    """Refuse at once what the decoding would refuse after seconds. Raises Rejected: AUDIO_TOO_LONG."""
    rate, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    dense_s = longest_s(rate, channels) if rate > 0 and channels > 0 else max_s
    if dense_s < max_s and stated_s > dense_s + padding_s(stream, rate):
        raise too_dense(dense_s, rate, channels)


def _tolerance_s(stated_s: float) -> float:
    low, high = _MISSING_S
    return min(max(_MISSING * stated_s, low), high)
