"""Measures a finished mp4 from its packets: the file that the user gets, not what was meant to be written."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
from av.stream import Stream


@dataclass(frozen=True, slots=True)
class ContainerMetrics:
    """Measurements of a finished file's packets."""

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


def measure_container(path: Path) -> ContainerMetrics:
    """Measure a finished file by its packets' timestamps.

    Raises ValueError when a track is missing or its frames are not evenly spaced, ``av.error.FFmpegError`` when the
    file can't be read.
    """
    packets: dict[int, list[tuple[Fraction, Fraction]]] = {}
    with av.open(str(path)) as file:
        if not file.streams.video or not file.streams.audio:
            raise ValueError("the finished file has no picture or no sound track")
        video, audio = file.streams.video[0], file.streams.audio[0]
        for packet in file.demux(video, audio):
            # Encoder priming is marked for discarding; the last packet of demux() is empty.
            if packet.pts is not None and not packet.is_discard and packet.time_base is not None:
                start = packet.pts * packet.time_base
                packets.setdefault(packet.stream.index, []).append(
                    (start, start + (packet.duration or 0) * packet.time_base)
                )
        picture, sound = _track(video, packets), _track(audio, packets)
        starts = sorted(start for start, _ in packets[video.index])
        steps = {b - a for a, b in pairwise(starts)} or {picture.end - picture.start}
        if len(steps) > 1:
            raise ValueError(f"frames are not evenly spaced: {sorted(steps)}")
        start_gap = sound.start - picture.start
        length_gap = (sound.end - sound.start) - (picture.end - picture.start)
        return ContainerMetrics(
            width=video.codec_context.width,
            height=video.codec_context.height,
            fps=1 / steps.pop(),
            frames=picture.packets,
            duration_s=float(max(picture.end, sound.end)),
            drift_ms=round(float(max(start_gap, length_gap, key=abs)) * 1000, 3),
            bytes=path.stat().st_size,
        )


def _track(stream: Stream, packets: dict[int, list[tuple[Fraction, Fraction]]]) -> _Track:
    if stream.index not in packets:
        raise ValueError(f"the finished file's {stream.type} track is empty")
    intervals = packets[stream.index]
    return _Track(len(intervals), min(start for start, _ in intervals), max(end for _, end in intervals))
