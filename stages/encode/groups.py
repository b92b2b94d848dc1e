"""Encoded packets on their way into the file, for those who work on them before the file is complete."""

from collections.abc import Callable
from typing import Protocol

import av


class Tap(Protocol):
    """Receives every packet before it is written, in the thread of the writer."""

    def open(self, video: av.VideoStream, audio: av.AudioStream, /) -> None:
        """The tracks of the file, before their first packet."""

    def picture(self, packet: "av.Packet[av.VideoStream]") -> None:
        """A packet of the video track; it must not be changed."""

    def sound(self, packet: "av.Packet[av.AudioStream]", /) -> None:
        """A packet of the sound track; it must not be changed."""


class Groups:
    """Collects groups of pictures: a key frame and what follows it up to the next one."""

    def __init__(self, on_group: Callable[[int, list[bytes], bytes], None]) -> None:
        """``on_group`` receives the number of the first frame, the packets and the stream's extradata."""
        self._on_group = on_group
        self._first = 0
        self._packets: list[bytes] = []
        self._extradata = b""

    def open(self, video: av.VideoStream, _: av.AudioStream, /) -> None:
        """The tracks of the file."""
        self._extradata = bytes(video.codec_context.extradata or b"")

    def picture(self, packet: "av.Packet[av.VideoStream]") -> None:
        """A group is complete when the next one begins."""
        if packet.is_keyframe and self._packets:
            self._on_group(self._first, self._packets, self._extradata)
            self._packets = []
        if packet.is_keyframe:
            self._first = packet.pts or 0
        self._packets.append(bytes(packet))

    def sound(self, _: "av.Packet[av.AudioStream]", /) -> None:
        """Of no interest."""
