"""Opens media files and decodes video frames with their times."""

from collections.abc import Callable, Iterator
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

from stages.encode.evaluation.crop import Picture
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.reference import Interval

_DEFAULT_FPS = 25
# Tags in other encodings than UTF-8: PyAV before 19 replaces such characters only on request, 19 always does.
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: ``time`` is the middle of its display interval, seconds after the file's zero."""

    time: float
    picture: Picture


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file. Raises EvaluationError when it can't be read, also later while it is decoded."""
    try:
        with av.open(str(path), **_TAGS) as file:
            yield file
    except (av.error.FFmpegError, OSError) as e:
        raise EvaluationError(f"{path} can't be read as media: {e.strerror or e}") from None


def start_s(file: InputContainer) -> float:
    """The file's zero: seconds of the first presented sample. A negative start is encoder priming, not presented."""
    return max(0.0, (file.start_time or 0) / av.time_base)


def frames(path: Path) -> Iterator[Frame]:
    """Decode every frame as stored (rotation flags are not applied), in order. Raises EvaluationError."""
    with open_media(path) as file:
        if not file.streams.video:
            raise EvaluationError(f"{path} has no video track")
        video = file.streams.video[0]
        video.thread_type = "AUTO"
        half = 0.5 / float(video.average_rate or _DEFAULT_FPS)
        zero, convert = start_s(file), to_rgb()
        for frame in file.decode(video):
            if frame.time is not None:
                yield Frame(frame.time - zero + half, convert(frame))


def excerpt(path: Path, interval: Interval, every: int) -> Iterator[Frame]:
    """Decode every ``every``-th frame presented within ``interval``, counted from the file's zero.

    Decoding starts at the key frame before the interval. Raises EvaluationError.
    """
    with open_media(path) as file:
        if not file.streams.video:
            raise EvaluationError(f"{path} has no video track")
        video = file.streams.video[0]
        rate = float(video.average_rate or _DEFAULT_FPS)
        zero, convert = start_s(file), to_rgb()
        file.seek(round((interval.start + zero) * av.time_base))
        for frame in file.decode(video):
            if frame.time is None:
                continue
            time = frame.time - zero + 0.5 / rate
            if time >= interval.end:
                break
            if time >= interval.start and int(time * rate) % every == 0:
                yield Frame(time, convert(frame))


def to_rgb() -> Callable[[VideoFrame], Picture]:
    """Converts frames to RGB. One reformatter serves all frames: setting up the scaler for each costs a millisecond a
    frame."""
    reformatter = VideoReformatter()
    return lambda frame: np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
