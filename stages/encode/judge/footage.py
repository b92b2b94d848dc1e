"""Frames of a video with the time that each stands for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from stages.encode.judge.crop import Picture
from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.reference import Span

_USUAL_RATE = 25
# Tags in other encodings than UTF-8: PyAV before 19 must be asked to replace such characters, 19 always does.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: ``time`` is the middle of its showing, seconds after the file's zero."""

    time: float
    picture: Picture


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The media file. Raises Unjudgeable when it can't be read, also later while it is decoded."""
    try:
        with av.open(str(path), **_TAGS) as file:
            yield file
    except (av.error.FFmpegError, OSError) as e:
        raise Unjudgeable(f"{path} can't be read as media: {e.strerror or e}") from None


def zero(file: InputContainer) -> float:
    """Seconds of the first thing shown; a negative start is an encoder's priming, which no player shows."""
    return max(0.0, (file.start_time or 0) / av.time_base)


def frames(path: Path) -> Iterator[Frame]:
    """Every frame as stored (turning flags are not applied), in order. Raises Unjudgeable."""
    with opened(path) as file:
        if not file.streams.video:
            raise Unjudgeable(f"{path} has no video track")
        video = file.streams.video[0]
        video.thread_type = "AUTO"
        half = 0.5 / float(video.average_rate or _USUAL_RATE)
        start, to_rgb = zero(file), VideoReformatter()
        for frame in file.decode(video):
            if frame.time is not None:
                yield Frame(frame.time - start + half, _rgb(frame, to_rgb))


def excerpt(path: Path, span: Span, every: int) -> Iterator[Frame]:
    """Every so many-th frame shown within ``span``, counted from the file's zero; only what they need is decoded.

    Raises Unjudgeable.
    """
    with opened(path) as file:
        if not file.streams.video:
            raise Unjudgeable(f"{path} has no video track")
        video = file.streams.video[0]
        rate = float(video.average_rate or _USUAL_RATE)
        start, to_rgb = zero(file), VideoReformatter()
        file.seek(round((span.start + start) * av.time_base))  # the key frame before
        for frame in file.decode(video):
            if frame.time is None:
                continue
            time = frame.time - start + 0.5 / rate
            if time >= span.end:
                break
            if time >= span.start and int(time * rate) % every == 0:
                yield Frame(time, _rgb(frame, to_rgb))


def _rgb(frame: VideoFrame, reformatter: VideoReformatter) -> Picture:
    """One reformatter for all frames: each frame's own would set the scaler up anew, a millisecond a frame."""
    return np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
