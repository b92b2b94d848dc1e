"""The time-limited measurement of `sample`, made while the file is still written: its end has not to wait for it.

The pictures are decoded from the very packets of the file, one group of pictures at a time; the sound is what the sound
track is encoded from.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import av
import numpy as np

from shared.messages.engines import FPS
from stages.encode.evaluation import energy
from stages.encode.evaluation.crop import Picture
from stages.encode.evaluation.media import Frame, to_rgb
from stages.encode.evaluation.reference import Interval
from stages.encode.evaluation.sample import (
    COST_MARGIN,
    EVERY,
    INTERVAL_S,
    Box,
    Measured,
    QualitySample,
    Sampler,
    Subject,
    sample_intervals,
)
from stages.encode.evaluation.sound import RATE as SOUND_RATE
from stages.encode.evaluation.sound import Sound

ENOUGH = 2
"""Groups that are measured in any case, also after the end: fewer have no offset."""
BLOCK_S = 10
"""Sound that is converted at a time, seconds."""


class RunningSampler:
    """Measures groups of pictures in a thread of its own, as long as the time allows. Use as a context manager."""

    def __init__(
        self,
        sampler: Sampler,
        recording: Callable[[], Sound],
        portrait: Picture,
        budget_s: Callable[[], float],
        *,
        speech: bool,
        box: Box | None,
    ) -> None:
        """``recording`` returns the sound at 16 kHz; ``budget_s`` the seconds that the measurement may have taken by
        now. The others are those of `Sampler.measure`."""
        self._sampler = sampler
        self._recording = recording
        self._portrait = portrait
        self._budget_s = budget_s
        self._speech = speech
        self._box = box
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="quality")
        self._subject: Subject | None = None
        self._intervals: set[float] = set()
        self._measured: list[Measured] = []
        self._attempts = 0
        self._used_s = self._cost_s = 0.0
        self._prepared = self._pool.submit(self._prepare)
        self._tasks: list[Future[None]] = []
        self._complete: deque[tuple[int, list[bytes], bytes]] = deque()

    def add(self, first: int, packets: Sequence[bytes], extradata: bytes) -> None:
        """A group of pictures is complete: H.264 packets in the order of decoding, the first shows frame ``first``."""
        self._complete.append((first, list(packets), extradata))
        self._tasks.append(self._pool.submit(self._measure_some))

    def finish(self) -> QualitySample | None:
        """The result so far, of ``ENOUGH`` groups where the time allows; None when nothing was measured. Raises what
        the measurement raised."""
        self.close()
        for task in (self._prepared, *self._tasks):
            if not task.cancelled():
                task.result()
        self._measure_some(ENOUGH)
        if self._subject is None or not self._measured:
            return None
        return self._sampler.score(self._measured, self._attempts, self._subject, speech=self._speech)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _prepare(self) -> None:
        start = time.monotonic()
        reference = energy.expected(self._recording())
        self._subject = self._sampler.subject(self._portrait, reference, self._box)
        intervals = sample_intervals(reference)
        # One interval means that the video is shorter than two groups of pictures: nothing is complete before its end.
        self._intervals = {interval.start for interval in intervals} if len(intervals) > 1 else set()
        self._used_s = time.monotonic() - start

    def _measure_some(self, enough: float = math.inf) -> None:
        """Measure complete groups until the time is used up, or ``enough`` are measured."""
        while self._complete and self._subject is not None and self._attempts < enough:
            if self._complete[0][0] / FPS not in self._intervals:
                self._complete.popleft()
            elif self._used_s + COST_MARGIN * self._cost_s <= self._budget_s():
                self._measure(self._subject, *self._complete.popleft())
            else:
                return  # The budget grows.

    def _measure(self, subject: Subject, first: int, packets: list[bytes], extradata: bytes) -> None:
        start, start_s = time.monotonic(), first / FPS
        interval = Interval(start_s, start_s + INTERVAL_S)
        frames = [
            Frame((number + 0.5) / FPS, picture)
            for number, picture in _decoded(first, packets, extradata)
            if interval.start <= number / FPS < interval.end
        ]
        self._attempts += 1
        measured = self._sampler.interval(frames, subject)
        if measured is not None:
            self._measured.append(measured)
        self._cost_s = max(self._cost_s, time.monotonic() - start)
        self._used_s += time.monotonic() - start


def _decoded(first: int, packets: Sequence[bytes], extradata: bytes) -> list[tuple[int, Picture]]:
    """Every ``EVERY``-th frame, counted from the start of the video, as RGB."""
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.extradata = extradata
    pictures, number, convert = [], first, to_rgb()
    for packet in (*(av.Packet(data) for data in packets), None):
        for frame in decoder.decode(packet):
            if number % EVERY == 0:
                pictures.append((number, convert(frame)))
            number += 1
    return pictures


def recorded(samples: Sound, rate: int) -> Sound:
    """Interleaved float32 [n, channels] as 16 kHz mono; converted in blocks, as ten minutes have 230 MB."""
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    resampler = av.AudioResampler("flt", "mono", SOUND_RATE)
    blocks: list[Sound] = []
    for start in range(0, len(samples), BLOCK_S * rate):
        block = np.ascontiguousarray(samples[start : start + BLOCK_S * rate].T, np.float32)
        frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
        frame.sample_rate = rate
        blocks += [np.asarray(part.to_ndarray(), np.float32).ravel() for part in resampler.resample(frame)]
    blocks += [np.asarray(part.to_ndarray(), np.float32).ravel() for part in resampler.resample(None)]
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
