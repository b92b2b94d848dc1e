"""What eval does, once its options are read. The judge runs as a program of its own: it opens media and networks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shared.cli import console
from shared.cli.errors import BadUse, CliError
from shared.client.local_files import checked, writable_target
from shared.runtime.worker_process import worker_environment

JUDGE = "stages.encode.judge"
_UNJUDGEABLE = 2
_MAX_MB = 16 * 1024

MEANINGS = {
    "reference": "what tells when the mouth should be open: alignment (of a transcript) or energy",
    "speech_s": "seconds of speech without its pauses",
    "frames": "frames judged",
    "faces_found": "share of looks that found the face",
    "sync_r": "correlation of mouth and speech at the best shift, -1..1",
    "r_unshifted": "the same without a shift",
    "r_control": "the same against speech turned by a third: chance",
    "av_offset_ms": "mouth against the speech from the file's start; positive: video late",
    "heard_offset_ms": "mouth against the file's own sound; positive: video late",
    "drift_ms_per_10s": "growth of the offset in ten seconds",
    "opening_range": "how far the mouth moves, in distances of the eyes",
    "closures": "sounds p, b, m",
    "closure_rate": "share of them with closed lips",
    "closure_chance": "the same at any moment of the speech",
    "closure_lift": "rate above chance",
    "silence_closed": "share of frames with closed lips in pauses",
    "vowel_ratio": "opening in open vowels against the rest",
    "jitter": "trembling: second difference against deviation",
    "quality": "0..1: is the face there, does the mouth move, does it fit the sound",
    "identity.max_difference": "outside the face against the portrait, 0..255",
    "identity.psnr_db": "the same, dB; more is nearer",
    "container.width": "pixels",
    "container.height": "pixels",
    "container.fps": "frames a second",
    "container.frames": "frames in the file",
    "container.duration_s": "end of the later track",
    "container.drift_ms": "sound against picture: start or length",
    "container.bytes": "size of the file",
    "container.fault": "why the file's packets could not be measured",
    "container.sound_late_ms": "the file's sound against the speech",
}
"""Figures in the order of the table."""


def evaluate(
    video: Path, speech: Path, portrait: Path | None, transcript: Path | None, plot: Path | None, sheet: Path | None
) -> dict[str, Any]:
    """The judge's figures; draws what is asked for.

    Raises BadUse when the files can't be judged, CliError when the judge breaks down.
    """
    arguments = [str(checked(video, "video", _MAX_MB)), str(checked(speech, "speech", _MAX_MB))]
    for option, path, role in (("--reference", portrait, "portrait"), ("--transcript", transcript, "transcript")):
        arguments += [option, str(checked(path, role, _MAX_MB))] if path else []
    for option, path in (("--plot", plot), ("--sheet", sheet)):
        arguments += [option, str(writable_target(path))] if path else []
    command = [sys.executable, "-m", JUDGE, "--parent", str(os.getpid()), *arguments]
    done = subprocess.run(command, env=worker_environment(os.environ, ""), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        figures: dict[str, Any] = json.loads(done.stdout)
        return figures
    if done.returncode == _UNJUDGEABLE and done.stdout:
        told = json.loads(done.stdout)
        raise BadUse(told["error"], told["hint"])
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise CliError(f"the judge broke down: {last}")


def report(figures: Mapping[str, Any]) -> None:
    """Print the figures, one a line; ``-`` for one that is not to be had."""
    known = dict(_flat(figures))
    rows = [(name, _shown(known[name]), meaning) for name, meaning in MEANINGS.items() if name in known]
    console.table(("FIGURE", "VALUE", "MEANS"), rows)


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
