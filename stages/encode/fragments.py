"""The packets of a video as fragmented MP4 while it is encoded: an initialisation segment, then one segment for each
group of pictures. Players that know HLS or Media Source Extensions play them as they come."""

import struct
from collections.abc import Callable
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av

from shared.messages.engines import FPS

_HEADER = struct.Struct(">I4s")
_MOVFLAGS = "+frag_keyframe+empty_moov+default_base_moof+skip_trailer"


class Fragments:
    """A second container for the same packets; the first one is not touched. Use as a context manager.

    The packets come before the first one writes them: see `groups.Tap`. An exception inside leaves the last segment
    out.
    """

    def __init__(self, on_segment: Callable[[bytes, Fraction], None]) -> None:
        """``on_segment`` receives each segment and its length in seconds; the first one, of length 0, initialises a
        decoder."""
        self._on_segment = on_segment
        self._container: av.container.OutputContainer | None = None
        self._video: av.VideoStream | None = None
        self._audio: av.AudioStream | None = None
        self._unread = bytearray()
        self._boxes = bytearray()
        self._starts: list[int] = []
        self._pictures = 0

    def open(self, video: av.VideoStream, audio: av.AudioStream, /) -> None:
        """Make the same tracks."""
        self._container = av.open(self, "w", format="mp4", options={"movflags": _MOVFLAGS})
        self._video = self._container.add_stream_from_template(video)
        self._audio = self._container.add_stream_from_template(audio)

    def picture(self, packet: "av.Packet[av.VideoStream]") -> None:
        """A packet of the video track."""
        if packet.is_keyframe:
            self._starts.append(self._pictures)
        self._pictures += 1
        self._mux(packet, self._video)

    def sound(self, packet: "av.Packet[av.AudioStream]") -> None:
        """A packet of the sound track."""
        self._mux(packet, self._audio)

    def _mux(self, packet: "av.Packet[Any]", stream: "av.VideoStream | av.AudioStream | None") -> None:
        assert self._container is not None and stream is not None
        copy = av.Packet(bytes(packet))
        copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
        copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, stream
        self._container.mux(copy)

    def write(self, data: bytes) -> int:
        """Take what the muxer writes: whole boxes become segments."""
        self._unread += data
        while len(self._unread) >= _HEADER.size:
            size, kind = _HEADER.unpack_from(self._unread)
            if len(self._unread) < size:
                break
            self._boxes += self._unread[:size]
            del self._unread[:size]
            if kind in (b"moov", b"mdat"):
                segment, self._boxes = bytes(self._boxes), bytearray()
                self._on_segment(segment, Fraction(0) if kind == b"moov" else self._length())
        return len(data)

    def _length(self) -> Fraction:
        """Length of the group that was written: up to the next one, or to the end of the video."""
        start = self._starts.pop(0)
        end = self._starts[0] if self._starts else self._pictures
        return Fraction(end - start, FPS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._on_segment = lambda *_: None
        if self._container is not None:
            self._container.close()
