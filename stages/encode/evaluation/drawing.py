"""The results as pictures: a plot of the mouth's opening and a sheet of faces."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stages.encode.evaluation import sync
from stages.encode.evaluation.crop import Picture, Square, crop_square
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.media import frames
from stages.encode.evaluation.reference import RATE
from stages.encode.evaluation.report import Report

_ROW_S, _ROWS = 12, 10
_WIDTH, _ROW_HEIGHT, _LEFT, _HEAD = 1400, 130, 60, 150
_BLACK, _GREY, _PAUSE, _MOUTH, _CLOSURE = (0, 0, 0), (205, 205, 205), (225, 238, 250), (20, 90, 200), (210, 40, 40)
_COLUMNS, _CELL, _CAPTION = 6, 208, 22
_FONT = ImageFont.load_default(size=15)


def plot(report: Report, path: Path) -> None:
    """Draw the mouth's opening over the expected one, twelve seconds a row, at most two minutes.

    The head shows the metrics and the correlation over shifts. Raises EvaluationError when the file can't be written.
    """
    duration = report.reference.duration
    rows = min(_ROWS, max(1, int(np.ceil(duration / _ROW_S))))
    image = Image.new("RGB", (_WIDTH, _HEAD + rows * _ROW_HEIGHT), "white")
    draw = ImageDraw.Draw(image)
    draw.multiline_text((_LEFT, 12), "\n".join(_headlines(report)), fill=_BLACK, font=_FONT, spacing=6)
    _curve(draw, report)
    for row in range(rows):
        _row(draw, report, row * _ROW_S, _HEAD + row * _ROW_HEIGHT)
    _save(image, path)


def _headlines(report: Report) -> list[str]:
    metrics = report.metrics()

    def cell(name: str, form: str = ".2f") -> str:
        return f"{name} {'-' if metrics[name] is None else format(metrics[name], form)}"

    return [
        "   ".join(
            [cell("sync_r", ".3f"), cell("av_offset_ms", "+.0f"), cell("r_control"), f"({report.reference.kind})"]
        ),
        "   ".join(cell(name) for name in ("closure_rate", "closure_chance", "silence_closed")),
        "   ".join(cell(name) for name in ("vowel_ratio", "jitter", "opening_range")),
        "blue: mouth, 0 closed to 1 wide (5 % and 95 % of this video)   grey: expected   red: p b m   light: pause",
    ]


def _curve(draw: ImageDraw.ImageDraw, report: Report) -> None:
    """Draw the correlation over shifts in the top right corner."""
    left, top, width, height = _WIDTH - 380, 12, 340, 100
    shifts, values = sync.curve(report.readings, report.reference)
    draw.rectangle((left, top, left + width, top + height), outline=_GREY)
    zero = left + width / 2
    draw.line((zero, top, zero, top + height), fill=_GREY)
    x = zero + shifts / sync.MAX_SHIFT_S * width / 2
    y = top + height * (0.8 - 0.7 * np.clip(values, -0.25, 1))
    draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=_MOUTH, width=2)
    text = f"r over shifts of {sync.MAX_SHIFT_S * 1000:.0f} ms either way; right: video late"
    draw.text((left, top + height + 4), text, fill=_BLACK, font=_FONT)


def _row(draw: ImageDraw.ImageDraw, report: Report, start: float, top: int) -> None:
    reference, readings = report.reference, report.readings
    low, high = np.quantile(readings.opening, [0.05, 0.95])
    scale = (_WIDTH - _LEFT - 20) / _ROW_S
    floor, height = top + _ROW_HEIGHT - 28, _ROW_HEIGHT - 40

    def line(times: NDArray[np.float64], values: NDArray[np.float64]) -> list[tuple[float, float]]:
        here = (times >= start) & (times < start + _ROW_S)
        x, y = _LEFT + (times[here] - start) * scale, floor - np.clip(values[here], -0.2, 1.2) * height
        return list(zip(x.tolist(), y.tolist(), strict=True))

    def bar(first: float, last: float) -> tuple[float, float] | None:
        first, last = max(first, start), min(last, start + _ROW_S)
        return (_LEFT + (first - start) * scale, _LEFT + (last - start) * scale) if first < last else None

    for pause in reference.silences:
        if edges := bar(pause.start, pause.end):
            draw.rectangle((edges[0], floor - height, edges[1], floor), fill=_PAUSE)
    expected = line((np.arange(len(reference.opening)) + 0.5) / RATE, reference.opening)
    if len(expected) > 1:
        draw.polygon([(expected[0][0], floor), *expected, (expected[-1][0], floor)], fill=_GREY)
    for closure in reference.closures or ():
        if edges := bar(closure.start, closure.end):
            draw.rectangle((edges[0], floor, edges[1], floor + 5), fill=_CLOSURE)
    mouth = line(readings.times, (readings.opening - low) / max(high - low, 1e-6))
    if len(mouth) > 1:
        draw.line(mouth, fill=_MOUTH, width=2)
    for second in range(_ROW_S):
        draw.text((_LEFT + second * scale, floor + 7), f"{start + second:.0f} s", fill=_BLACK, font=_FONT)


def sheet(report: Report, video: Path, path: Path) -> None:
    """Draw three rows of faces: where the mouth should be closed, where it should be open, and evenly over the video.

    Raises EvaluationError when the file can't be written.
    """
    moments = list(_moments(report))
    pictures = _faces(report, video, {frame for _, _, frame in moments})
    image = Image.new("RGB", (_COLUMNS * _CELL, 3 * (_CELL + _CAPTION)), "white")
    draw = ImageDraw.Draw(image)
    for place, caption, frame in moments:
        row, column = divmod(place, _COLUMNS)
        x, y = column * _CELL, row * (_CELL + _CAPTION)
        image.paste(Image.fromarray(pictures[frame]), (x, y))
        text = f"{caption} {report.readings.times[frame]:.2f} s: {report.readings.opening[frame]:.2f}"
        draw.text((x + 4, y + _CELL + 2), text, fill=_BLACK, font=_FONT)
    _save(image, path)


def _moments(report: Report) -> Iterator[tuple[int, str, int]]:
    """Position on the sheet, caption, number of the frame."""
    times, reference = report.readings.times, report.reference
    closed = ("p b m", reference.closures) if reference.closures else ("pause", reference.silences)
    for row, (caption, intervals) in enumerate((closed, ("open", reference.vowels))):
        for column, index in enumerate(_spread(len(intervals))):
            yield row * _COLUMNS + column, caption, int(np.abs(times - intervals[index].middle).argmin())
    for column, index in enumerate(_spread(len(times))):
        yield 2 * _COLUMNS + column, "frame", index


def _spread(count: int) -> list[int]:
    """At most a row of indices, evenly spaced below ``count``."""
    chosen = np.linspace(0, count - 1, min(count, _COLUMNS)) if count else np.zeros(0)
    return [round(index) for index in chosen.tolist()]


def _faces(report: Report, video: Path, wanted: set[int]) -> dict[int, Picture]:
    faces: dict[int, Picture] = {}
    for number, frame in enumerate(frames(video)):
        if number in wanted:
            low, high = (getattr(report.readings.points[number], side)(axis=0) for side in ("min", "max"))
            (x, y), size = (low + high) / 2, float(max(high - low))
            faces[number] = np.clip(crop_square(frame.picture, Square(x, y, 1.35 * size), _CELL) + 0.5, 0, 255).astype(
                np.uint8
            )
        if number >= max(wanted):
            break
    return faces


def _save(image: Image.Image, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    except (OSError, ValueError) as e:
        raise EvaluationError(f"{path} can't be written: {e}", "use a .png or .jpg file name") from None
