"""Signal processing in NumPy: rates, bands, rooms, noise. All signals are float32 [n] at 16 kHz, about -1..1."""

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Signal = NDArray[np.float32]
Generator = np.random.Generator


def resample(signal: Signal, source: float, target: float) -> Signal:
    """Change the rate by cutting or padding the spectrum; the signal counts as periodic."""
    count = round(len(signal) * target / source)
    out = np.fft.irfft(np.fft.rfft(signal.astype(np.float64)), count) * (count / len(signal))
    return np.asarray(out, np.float32)


def from_pcm(data: bytes) -> Signal:
    """Convert 16-bit samples in native byte order."""
    signal: Signal = np.frombuffer(data, np.int16).astype(np.float32)
    signal *= np.float32(2**-15)
    return signal


def rms(signal: Signal) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64))))


def telephone(signal: Signal) -> Signal:
    """Limit to 300..3400 Hz and 8 bits of G.711's logarithmic law (mu = 255)."""
    spectrum = np.fft.rfft(signal)
    hertz = np.fft.rfftfreq(len(signal), 1 / RATE)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    band = np.fft.irfft(spectrum, len(signal))
    peak = max(float(np.abs(band).max()), 1e-9)
    codes = np.round(np.sign(band) * np.log1p(255 * np.abs(band) / peak) / np.log(256) * 127) / 127
    return np.asarray(np.sign(codes) * (256.0 ** np.abs(codes) - 1) / 255 * peak, np.float32)


def reverberate(signal: Signal, seconds: float, share: float, rng: Generator) -> Signal:
    """Add a tail of decaying noise: -60 dB after ``seconds``, with ``share`` of the direct sound's amplitude."""
    count = int(seconds * RATE)
    tail = rng.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    tail *= share / np.sqrt(np.sum(tail**2))
    tail[0] += 1
    size = len(signal) + count
    out = np.fft.irfft(np.fft.rfft(signal, size) * np.fft.rfft(tail, size), size)
    return out[: len(signal)].astype(np.float32)


def vibrato(signal: Signal, hertz: float, depth: float) -> Signal:
    """Modulate the pitch by the share ``depth`` at ``hertz``; no sound moves by more than 1.5 ms."""
    time = np.arange(len(signal))
    swing = depth * RATE / (2 * np.pi * hertz) * np.sin(2 * np.pi * hertz * time / RATE)
    return np.interp(time + swing, time, signal).astype(np.float32)


def noise(count: int, slope: float, rng: Generator) -> Signal:
    """Noise of unit power with a spectrum of 1 / f^slope: 0 white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 20.0)
    out = np.fft.irfft(spectrum * hertz ** (-slope / 2), count)
    return (out / max(float(out.std()), 1e-12)).astype(np.float32)


def mix(signal: Signal, other: Signal, ratio_db: float) -> Signal:
    """Add ``other`` at a level of ``ratio_db`` below the signal."""
    other = np.resize(other, len(signal))
    return signal + other * np.float32(rms(signal) / max(rms(other), 1e-9) * 10 ** (-ratio_db / 20))
