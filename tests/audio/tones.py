"""Recordings made for the tests by libav's own encoders: a tone of a known frequency and length."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

HZ = 440.0
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


def tone(rate: int, seconds: float, channels: int = 1, hz: float = HZ, level: float = 0.4) -> NDArray[np.float32]:
    """float32 [channels, n]."""
    t = np.arange(round(rate * seconds)) / rate
    return np.repeat((level * np.sin(2 * np.pi * hz * t)).astype(np.float32)[None], channels, axis=0)


def click(rate: int, seconds: float, at: float) -> NDArray[np.float32]:
    """Silence with a click of 0.25 ms, float32 [1, n]; ``at``: its position, seconds."""
    samples = np.zeros((1, round(rate * seconds)), np.float32)
    samples[0, round(at * rate) : round(at * rate) + rate // 4000] = 0.9
    return samples


def record(
    path: Path,
    samples: NDArray[np.float32],
    rate: int,
    *,
    container: str,
    codec: str,
    sample_format: str,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    cover: bool = False,
) -> Path:
    """Encode float32 [channels, n] into a file; ``cover`` adds a picture as music players do."""
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV {av.__version__} has no codec {codec}")
    layout = LAYOUTS[samples.shape[0]]
    with av.open(str(path), "w", format=container, container_options=container_options or {}) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout, options=options or {})
        assert isinstance(stream, av.AudioStream)
        stream.format = sample_format
        art = None
        if cover:
            art = file.add_stream("mjpeg", rate=1)
            art.width, art.height, art.pix_fmt = 64, 64, "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T).reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.pts = rate, 0
        if art is not None:
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), "rgb24")
            file.mux(art.encode(picture.reformat(format="yuvj420p")))
            file.mux(art.encode(None))
        convert = av.AudioResampler(sample_format, layout, rate, frame_size=stream.codec_context.frame_size or 4096)
        for part in [*convert.resample(frame), *convert.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path


def wav_bytes(pcm: bytes, *, rate: int = 16_000, channels: int = 1, claimed: int | None = None) -> bytes:
    """A WAV file around 16-bit samples; ``claimed``: what the header says is there, bytes."""
    size = len(pcm) if claimed is None else claimed
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    return (
        b"RIFF" + struct.pack("<I", (36 + size) & 0xFFFFFFFF) + b"WAVE" + form + b"data" + struct.pack("<I", size) + pcm
    )


def loudest_hz(samples: NDArray[np.float32], rate: int) -> float:
    """Frequency of the strongest component of float32 [n]."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return float(spectrum.argmax() * rate / (1 << 18))


def peak_s(samples: NDArray[np.float32], rate: int) -> float:
    """Position of the largest value of float32 [n], seconds."""
    return int(np.abs(samples).argmax()) / rate
