"""Open the finished mp4 again and measure it: what counts is the file that the user gets, not what was meant."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.stream import Stream


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures from the packets of a finished file."""

    width: int
    height: int
    fps: Fraction
    frames: int
    duration_s: float
    """End of the later of both tracks."""
    drift_ms: float
    """Sound against picture: difference of their starts or of their lengths, whichever is larger, milliseconds.

    Positive: the sound starts later or is longer.
    """
    bytes: int


@dataclass(frozen=True, slots=True)
class _Track:
    packets: int
    start: Fraction
    end: Fraction


def measure(path: Path) -> Measured:
    """Measure a finished file by its packets' timestamps.

    Raises ValueError when it lacks a track or its frames are not evenly spaced, ``av.error.FFmpegError`` when it can't
    be read.
    """
    spans: dict[int, list[tuple[Fraction, Fraction]]] = {}
    with av.open(str(path)) as file:
        if not file.streams.video or not file.streams.audio:
            raise ValueError("the finished file lacks a picture or a sound track")
        video, audio = file.streams.video[0], file.streams.audio[0]
        for packet in file.demux(video, audio):
            # Priming of the audio encoder is marked as not to be played; the last packet of demux() is empty.
            if packet.pts is not None and not packet.is_discard and packet.time_base is not None:
                start = packet.pts * packet.time_base
                spans.setdefault(packet.stream.index, []).append(
                    (start, start + (packet.duration or 0) * packet.time_base)
                )
        picture, sound = _track(video, spans), _track(audio, spans)
        starts = sorted(start for start, _ in spans[video.index])
        steps = {b - a for a, b in pairwise(starts)} or {picture.end - picture.start}
        if len(steps) > 1:
            raise ValueError(f"frames are not evenly spaced: {sorted(steps)}")
        begin = sound.start - picture.start
        length = (sound.end - sound.start) - (picture.end - picture.start)
        return Measured(
            width=video.codec_context.width,
            height=video.codec_context.height,
            fps=1 / steps.pop(),
            frames=picture.packets,
            duration_s=float(max(picture.end, sound.end)),
            drift_ms=round(float(max(begin, length, key=abs)) * 1000, 3),
            bytes=path.stat().st_size,
        )


def _track(stream: Stream, spans: dict[int, list[tuple[Fraction, Fraction]]]) -> _Track:
    if stream.index not in spans:
        raise ValueError(f"the finished file's {stream.type} track is empty")
    found = spans[stream.index]
    return _Track(len(found), min(start for start, _ in found), max(end for _, end in found))
