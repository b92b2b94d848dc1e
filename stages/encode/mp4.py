"""Writes H.264 and AAC into an mp4 that plays while it downloads.

Colours: frames are I420 with ITU-R BT.601 coefficients in limited range (as OpenCV's RGB to I420 conversion), from sRGB
pixels. The stream is tagged accordingly; a player that guessed BT.709 from the size would shift skin tones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from numpy.typing import NDArray

from shared.messages.engines import FPS
from shared.slot.frames.frame import Frame
from stages.encode.groups import Tap

SOUND_HZ = 48_000
CRF = 18
_KEYFRAME_EVERY = 2 * FPS
_AAC_BITS_PER_S = {1: 128_000, 2: 160_000}
_AAC_FRAME = 1024
_LAYOUTS = {1: "mono", 2: "stereo"}
# ITU-T H.273 code points.
_MATRIX_BT601 = 6
_PRIMARIES_SRGB = 1
_TRANSFER_SRGB = 13
_RANGE_LIMITED = 1

_ATOMS = {"title", "comment", "description"}

Sound = NDArray[np.float32]
Frames = NDArray[np.uint8]
"""I420 [n, height * 3 / 2, width]."""


@dataclass(frozen=True, slots=True)
class Coding:
    """Settings of x264; equal settings and equal input give equal bytes."""

    preset: str = "veryfast"
    threads: int = 2


class Mp4Writer:
    """Writes one mp4: constant 25 fps, H.264 High 4:2:0 crf 18, AAC-LC at 48 kHz, index first.

    sound: float32 [n, 1 or 2], -1..1, for example a memory map; it is encoded in step with the frames, as a whole, and
    padded with silence up to the end of the last frame. Use as a context manager; an exception inside leaves an
    incomplete file. ``taps`` receive the packets before they are written; the file is the same with and without them.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        sound: Sound,
        tags: Mapping[str, str],
        coding: Coding,
        taps: Sequence[Tap] = (),
    ) -> None:
        self._taps, self._tapped = taps, False
        self._shape = (height * 3 // 2, width)
        self._sound = sound
        self._frames = 0
        self._samples = 0
        # iTunes' atoms, which most players show, know only some names; keys of any name exclude them.
        keys = "" if set(tags) <= _ATOMS else "+use_metadata_tags"
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": f"+faststart{keys}"})
        self._container.metadata.update(tags)
        options = {"crf": str(CRF), "preset": coding.preset, "profile": "high", "g": str(_KEYFRAME_EVERY)}
        self._video = self._container.add_stream("libx264", rate=FPS, options=options)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = Fraction(1, FPS)
        self._video.codec_context.thread_count = coding.threads
        # Slices, not frame threads: with two frame threads x264 165 writes different bytes in 124 of 317 runs of one
        # input, with slices in none of 555. They cost 1 % of the size.
        self._video.codec_context.thread_type = "SLICE"
        self._video.codec_context.colorspace = _MATRIX_BT601
        self._video.codec_context.color_primaries = _PRIMARIES_SRGB
        self._video.codec_context.color_trc = _TRANSFER_SRGB
        self._video.codec_context.color_range = _RANGE_LIMITED
        channels = sound.shape[1]
        self._layout = _LAYOUTS[channels]
        self._audio = self._container.add_stream(
            "aac", rate=SOUND_HZ, layout=self._layout, bit_rate=_AAC_BITS_PER_S[channels]
        )

    @property
    def frames(self) -> int:
        """Number of frames written."""
        return self._frames

    def write(self, frames: Frames | Iterable[Frame]) -> None:
        """Encode frames, each uint8 [height * 3 / 2, width] (I420), and their sound. Raises ValueError for another
        shape."""
        for picture in frames:
            if picture.shape != self._shape:
                raise ValueError(f"a frame of {picture.shape} does not fit a video of {self._shape}")
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts, frame.time_base, frame.duration = self._frames, Fraction(1, FPS), 1
            self._frames += 1
            self._mux_video(frame)
        self._write_sound(self._frames * SOUND_HZ // FPS)

    def _write_sound(self, until: int) -> None:
        """Encode whole AAC frames up to sample ``until``."""
        while self._samples + _AAC_FRAME <= min(until, len(self._sound)):
            self._encode_sound(self._sound[self._samples : self._samples + _AAC_FRAME])

    def _encode_sound(self, block: Sound) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T, np.float32), "fltp", self._layout)
        frame.sample_rate, frame.pts, frame.time_base = SOUND_HZ, self._samples, Fraction(1, SOUND_HZ)
        self._samples += len(block)
        self._mux_audio(frame)

    def _finish(self) -> None:
        if self._frames == 0:
            raise ValueError("a video needs at least one frame")
        self._write_sound(len(self._sound))
        end = max(len(self._sound), self._frames * SOUND_HZ // FPS)
        rest = self._sound[self._samples :]
        rest = np.pad(rest, ((0, end - len(self._sound)), (0, 0)))
        for start in range(0, len(rest), _AAC_FRAME):
            self._encode_sound(rest[start : start + _AAC_FRAME])
        self._mux_video(None)
        self._mux_audio(None)

    def _mux_video(self, frame: av.VideoFrame | None) -> None:
        for packet in self._video.encode(frame):
            for tap in self._opened():
                tap.picture(packet)
            self._container.mux(packet)

    def _mux_audio(self, frame: av.AudioFrame | None) -> None:
        for packet in self._audio.encode(frame):
            for tap in self._opened():
                tap.sound(packet)
            self._container.mux(packet)

    def _opened(self) -> Sequence[Tap]:
        """The taps, which know the tracks."""
        if self._taps and not self._tapped:
            self._container.start_encoding()
            for tap in self._taps:
                tap.open(self._video, self._audio)
            self._tapped = True
        return self._taps

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._container.close()
