"""Frames of a video with the time that each stands for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from av.container import InputContainer

from stages.encode.judge.crop import Picture
from stages.encode.judge.errors import Unjudgeable

_USUAL_RATE = 25


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: ``time`` is the middle of its showing, seconds after the file's zero."""

    time: float
    picture: Picture


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The media file. Raises Unjudgeable when it can't be read, also later while it is decoded."""
    try:
        with av.open(str(path)) as file:
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
        start = zero(file)
        for frame in file.decode(video):
            if frame.time is not None:
                yield Frame(frame.time - start + half, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
