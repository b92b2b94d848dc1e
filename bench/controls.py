"""Controls of the evaluation on one film: each deliberate fault must show in its figure; and the cost of the sample."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from stages.encode.evaluation import energy, sound
from stages.encode.evaluation.identity import load_portrait
from stages.encode.evaluation.media import frames
from stages.encode.evaluation.report import evaluate
from stages.encode.evaluation.sample import Sampler
from stages.encode.mp4 import SOUND_HZ, Coding, Frames, Mp4Writer, Sound

SHIFTS_MS = (-200, -80, 80, 200)
SHARE = 0.1
_BLUR, _TILE = 2.0, 32
COLUMNS = ("sync_r", "r_unshifted", "av_offset_ms", "opening_range", "quality", "stage_offset_ms", "stage_quality")


@dataclass(frozen=True, slots=True)
class Proof:
    """One row for each control."""

    rows: list[dict[str, Any]]
    cost: dict[str, Any]
    """Seconds of the encode stage's sample of the unchanged film, of the render before it, and their ratio."""

    def table(self) -> str:
        lines = [f"| control | {' | '.join(COLUMNS)} |", "| --- " * (1 + len(COLUMNS)) + "|"]
        lines += [f"| {row['control']} | {' | '.join(_shown(row[name]) for name in COLUMNS)} |" for row in self.rows]
        return "\n".join(lines)


def controls(film: Path, portrait: Path, render_s: float) -> Proof:
    """Encode the film again with a fault in its sound or frames; evaluate each against the level of its own sound, by
    the eval and by the encode stage's sample."""
    with av.open(str(film)) as file:
        decoded = [frame.to_ndarray(format="yuv420p") for frame in file.decode(video=0)]
    pictures = np.stack(decoded).astype(np.uint8, copy=False)
    speech = _at_48k(film)
    pieces = np.array_split(speech, 20)
    order = np.random.default_rng(0).permutation(20)
    made: dict[str, tuple[Frames, Sound]] = {"none": (pictures, speech)}
    made |= {f"sound {late:+d} ms": (pictures, _moved(speech, late)) for late in SHIFTS_MS}
    made["sound shuffled"] = pictures, np.concatenate([pieces[i] for i in order])
    made["time mirrored"] = pictures[::-1], speech
    made["mouth frozen"] = np.repeat(pictures[:1], len(pictures), axis=0), speech
    height = pictures.shape[1] * 2 // 3
    blurred, mixed = pictures.copy(), pictures.copy()
    for number, luma in enumerate(pictures[:, :height]):
        blurred[number, :height] = cv2.GaussianBlur(luma, (0, 0), _BLUR)
        mixed[number, :height] = _mixed(luma)
    made |= {"picture blurred": (blurred, speech), "picture in wrong tiles": (mixed, speech)}
    rows, cost, sampler = [], {}, Sampler()
    size = next(frames(film)).picture.shape
    with tempfile.TemporaryDirectory() as folder:
        for name, (shown, sounds) in made.items():
            path = Path(folder) / "control.mp4"
            _write(path, shown, sounds)
            own = sound.load(path)
            figures = evaluate(path, own, energy.expected(own), portrait).metrics()
            picture = load_portrait(portrait, size[1], size[0])
            sampled = sampler.measure(path, picture, 1e3, speech=True)
            if name == "none":  # once more, as the stage does it: warm, and within its budget
                started = time.monotonic()
                sampler.measure(path, picture, SHARE * render_s, speech=True)
                sample_s = time.monotonic() - started
                cost = {
                    "sample_s": round(sample_s, 3),
                    "render_s": round(render_s, 3),
                    "share": round(sample_s / render_s, 3),
                }
            stage = {"stage_offset_ms": sampled.offset_ms, "stage_quality": sampled.quality}
            rows.append({"control": name, **{key: figures.get(key) for key in COLUMNS[:5]}, **stage})
    return Proof(rows, cost)


def _mixed(luma: Frames) -> Frames:
    """Every tile in the place of a neighbour; always the same neighbours."""
    rows, columns = (size // _TILE for size in luma.shape)
    tiles = luma[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE).swapaxes(1, 2).copy()
    tiles[:, : columns // 2 * 2] = (
        tiles[:, : columns // 2 * 2].reshape(rows, -1, 2, _TILE, _TILE)[:, :, ::-1].reshape(rows, -1, _TILE, _TILE)
    )
    found = luma.copy()
    found[: rows * _TILE, : columns * _TILE] = tiles.swapaxes(1, 2).reshape(rows * _TILE, columns * _TILE)
    return found


def _at_48k(film: Path) -> Sound:
    """The film's sound as the encoder takes it, [n, 1]."""
    with av.open(str(film)) as file:
        resampler = av.AudioResampler("flt", "mono", SOUND_HZ)
        blocks = [part.to_ndarray().ravel() for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(blocks)[:, None].astype(np.float32)


def _moved(speech: Sound, late_ms: int) -> Sound:
    samples = late_ms * SOUND_HZ // 1000
    return np.pad(speech, ((samples, 0), (0, 0))) if samples > 0 else speech[-samples:]


def _write(path: Path, pictures: Frames, speech: Sound) -> None:
    with Mp4Writer(path, pictures.shape[2], pictures.shape[1] * 2 // 3, speech, {}, Coding()) as writer:
        for start in range(0, len(pictures), 25):
            writer.write(pictures[start : start + 25])


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if abs(value) > 5 else f"{value:.2f}"
