"""The command ``eval``: runs the evaluation as a separate process, because it opens untrusted media."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from shared.cli import console
from shared.cli.errors import BadUse, CliError
from shared.cli.output_file import OutputFile
from shared.client.local_files import checked
from shared.local import extras
from shared.runtime.execute.worker_environment import worker_environment

PROGRAM = "stages.encode.evaluation"
_NOT_EVALUATED = 2
"""Exit status for files that can't be evaluated."""
_MISSING = re.compile(r"^ModuleNotFoundError: No module named '([^']+)'", re.MULTILINE)
_MAX_MB = 16 * 1024

DESCRIPTIONS = {
    "reference": "source of the expected mouth opening: alignment (of a transcript) or energy",
    "speech_s": "seconds of speech without pauses",
    "frames": "measured frames",
    "faces_found": "share of detections that found the face",
    "sync_r": "correlation of mouth and speech at the best shift, -1..1",
    "r_unshifted": "the same without a shift",
    "r_control": "the same against speech rotated by a third: chance level",
    "av_offset_ms": "mouth against the speech from the file's start; positive: video late",
    "heard_offset_ms": "mouth against the file's own sound; positive: video late",
    "drift_ms_per_10s": "growth of the offset per ten seconds",
    "opening_range": "range of the mouth's opening, in eye distances",
    "closures": "sounds p, b, m",
    "closure_rate": "share of them with closed lips",
    "closure_chance": "the same at any moment of the speech",
    "closure_lift": "closure rate minus chance",
    "silence_closed": "share of frames with closed lips in pauses",
    "vowel_ratio": "opening in open vowels against the rest",
    "jitter": "second difference of the opening, in its standard deviations",
    "quality": "0..1: the face is present, the mouth moves, its movement fits the sound",
    "identity.max_difference": "largest difference from the portrait outside the face, 0..255",
    "identity.psnr_db": "PSNR against the portrait outside the face, dB",
    "container.width": "pixels",
    "container.height": "pixels",
    "container.fps": "frames a second",
    "container.frames": "frames in the file",
    "container.duration_s": "end of the later track",
    "container.drift_ms": "sound against picture: start or length",
    "container.bytes": "size of the file",
    "container.fault": "why the file's packets could not be measured",
    "container.sound_late_ms": "delay of the file's sound against the speech",
}
"""Metrics in the order of the table."""


def evaluate(
    video: Path,
    speech: Path,
    portrait: Path | None,
    transcript: Path | None,
    plot: str | None,
    sheet: str | None,
    force: bool = False,
) -> dict[str, Any]:
    """Evaluate a video; writes the plot and the sheet when they are named. Returns the metrics.

    Raises BadUse when the files can't be evaluated, CliError when the evaluation fails.
    """
    named = {"video": video, "speech": speech, "portrait": portrait, "transcript": transcript}
    inputs = {role: checked(path, role, _MAX_MB) for role, path in named.items() if path}
    plot_file = _picture(plot, "plot", (".png", ".jpg", ".jpeg", ".webp"), inputs, force)
    sheet_file = _picture(sheet, "sheet", (".jpg", ".jpeg", ".png", ".webp"), inputs, force)
    outputs = {"--plot": plot_file, "--sheet": sheet_file}
    for picture in filter(None, outputs.values()):
        picture.check()
    if plot_file and sheet_file and plot_file.is_same_file(sheet_file):
        raise BadUse(f"the plot and the sheet are the same file, {plot}", "name two files")
    arguments = [str(video), str(speech)]
    for option, path in (("--reference", portrait), ("--transcript", transcript)):
        arguments += [option, str(path)] if path else []
    with ExitStack() as written:
        for option, output in outputs.items():
            arguments += [option, str(written.enter_context(output.writing()))] if output else []
        return _run(arguments)


def _picture(
    name: str | None, role: str, suffixes: tuple[str, ...], inputs: Mapping[str, Path], force: bool
) -> OutputFile | None:
    if name is None:
        return None
    return OutputFile(name, role, inputs, force, stdout_holds="the metrics are printed there", suffixes=suffixes)


def _run(arguments: Sequence[str]) -> dict[str, Any]:
    """The metrics that the evaluation prints. Raises BadUse, CliError."""
    command = [sys.executable, "-P", "-m", PROGRAM, "--parent", str(os.getpid()), *arguments]
    process = subprocess.run(
        command, env=worker_environment(os.environ, ""), capture_output=True, text=True, check=False
    )
    if process.returncode == 0:
        metrics: dict[str, Any] = json.loads(process.stdout)
        return metrics
    if process.returncode == _NOT_EVALUATED and process.stdout:
        failure = json.loads(process.stdout)
        raise BadUse(failure["error"], failure["hint"])
    if (absent := _MISSING.search(process.stderr)) and (sentence := extras.explain(absent.group(1))):
        raise CliError(sentence)
    last_line = (process.stderr.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
    raise CliError(f"the evaluation failed: {last_line}")


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print the metrics, one per line; ``-`` for one that can't be measured."""
    values = dict(_flatten(metrics))
    rows = [(name, _format(values[name]), text) for name, text in DESCRIPTIONS.items() if name in values]
    console.table(("METRIC", "VALUE", "MEANING"), rows)


def _flatten(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _format(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
