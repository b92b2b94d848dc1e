"""Decodes samples in blocks of about a second, under limits."""

from collections.abc import Iterator
from typing import cast

import av
import numpy as np
from av.container import InputContainer

from stages.audio.container import MAX_CHANNELS, RATES_HZ
from stages.audio.cost import MAX_ALL_PACKETS, MAX_PACKETS, longest_s
from stages.audio.rejections import too_complex, too_dense, too_long, unreadable
from stages.audio.resample import Samples

_PADDING = {
    **{"aac": (2, 1024), "mp3": (2, 1152), "mp3float": (2, 1152)},
    **{"alac": (1, 4096), "opus": (2, 960), "vorbis": (1, 2048), "amrnb": (2, 160), "amrwb": (2, 320)},
}
"""Frames that may be padding, and the samples of a frame where libav does not know them."""

Block = tuple[Samples, int, tuple[str, ...]]
"""float32 [channels, n], rate in Hz, channel names."""


def padding_s(stream: av.AudioStream, rate: int) -> float:
    """The part of the decoded end that may be padding, seconds: an encoder fills its last frame and may add one."""
    codec = stream.codec_context
    frames, usual = _PADDING.get(codec.codec.name, (0, 0))
    return frames * (codec.frame_size or usual) / rate


def blocks(file: InputContainer, stream: av.AudioStream, max_s: float, *, length_is_known: bool) -> Iterator[Block]:
    """Decode a stream.

    ``length_is_known``: the caller can detect missing samples of an MP3, so its damaged parts are skipped. Raises
    Rejected: AUDIO_TOO_LONG as soon as more than ``max_s`` and the codec's padding is decoded, or more samples than any
    recording may have; AUDIO_UNREADABLE when a packet can't be decoded, the format changes, a value is not finite or
    there are too many packets.
    """
    convert: av.AudioResampler | None = None
    # A converter takes 40 us for a frame of any size, and a frame may have one sample: it gets a second of them.
    waiting = av.AudioFifo()
    rate, decoded, dense_s = 0, 0, 0.0
    layout: tuple[str, ...] = ()
    limit = 0.0
    try:
        for frame in _frames(file, stream, length_is_known=length_is_known):
            if convert is None:
                rate, layout = frame.sample_rate, tuple(channel.name for channel in frame.layout.channels)
                if rate not in RATES_HZ or not 1 <= len(layout) <= MAX_CHANNELS:
                    raise unreadable(f"The speech file has {len(layout)} channels at {rate} Hz.")
                dense_s = longest_s(rate, len(layout))
                limit = (min(max_s, dense_s) + padding_s(stream, rate)) * rate
                # Packed: PyAV reads past the planes of a frame of eight planar channels.
                convert = av.AudioResampler("flt", frame.layout, rate)
            decoded += frame.samples
            if decoded > limit:
                raise too_long(max_s) if max_s <= dense_s else too_dense(dense_s, rate, len(layout))
            frame.pts = None
            waiting.write(frame)
            while (second := waiting.read(rate)) is not None:
                yield from _converted(convert, second, rate, layout)
        if convert is not None:
            for rest in (waiting.read(), None):
                yield from _converted(convert, rest, rate, layout)
    except av.error.FFmpegError as e:
        raise unreadable(f"The speech file is damaged or truncated after {decoded / max(rate, 1):.1f} s.") from e
    except ValueError as e:  # Raised for a frame of another format than the first.
        raise unreadable("The speech file changes its sample rate or channels.") from e


def _frames(file: InputContainer, stream: av.AudioStream, *, length_is_known: bool) -> Iterator[av.AudioFrame]:
    """Decode frame by frame.

    MP3 is a bare sequence of frames, with filler, lyrics and tags of many kinds before, after and between them. Like
    every player this skips what is no frame, unless sound follows and the missing length can't be detected.
    """
    is_mp3 = stream.codec_context.codec.name in ("mp3", "mp3float")
    has_frames, gap = False, None
    for packet in _packets(file, stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError as e:
            if not is_mp3:
                raise
            gap = e if has_frames else None
            continue
        if frames and gap is not None and not length_is_known:
            raise gap
        has_frames = has_frames or bool(frames)
        yield from frames


def _packets(file: InputContainer, stream: av.AudioStream) -> Iterator["av.Packet[av.AudioStream]"]:
    """The packets of a stream. Those of the others are counted, too: libav reads them on the way."""
    own = 0
    for count, packet in enumerate(file.demux(), 1):
        is_own = packet.stream.index == stream.index
        own += is_own
        if own > MAX_PACKETS or count > MAX_ALL_PACKETS:
            raise too_complex(f"more than {MAX_PACKETS} packets of sound, or {MAX_ALL_PACKETS} of all kinds")
        if is_own:
            yield cast("av.Packet[av.AudioStream]", packet)


def _converted(
    convert: av.AudioResampler, frame: av.AudioFrame | None, rate: int, layout: tuple[str, ...]
) -> Iterator[Block]:
    """A frame as blocks; None: the end of the stream."""
    if frame is not None:
        frame.pts = None
    for block in convert.resample(frame):
        yield _samples(block, len(layout)), rate, layout


def _samples(block: av.AudioFrame, channels: int) -> Samples:
    """The samples of a packed float frame, [channels, n]."""
    samples: Samples = block.to_ndarray().astype(np.float32, copy=False).reshape(-1, channels).T
    if not np.isfinite(samples).all():
        raise unreadable("The speech file holds sample values that are not numbers.")
    return samples
