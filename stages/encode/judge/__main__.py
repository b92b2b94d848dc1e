"""`python -m stages.encode.judge VIDEO SPEECH`: one JSON document on stdout; what `lipstage eval` runs.

Exit status 2 and {"error", "hint"} when the files can't be judged. A process of its own: it opens media of strangers.
"""

import os

# numpy's BLAS threads would only fight ONNX Runtime's: set before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import av.logging

from shared.slot import limits
from stages.encode.judge import alignment, energy, phones, sound
from stages.encode.judge.errors import Unjudgeable
from stages.encode.judge.report import Report, judge

_MEMORY_MB = 3072
_DIGITS = 4


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, judge, print."""
    parser = argparse.ArgumentParser(prog="python -m stages.encode.judge", description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("--reference", type=Path, help="portrait that the video shows")
    parser.add_argument("--transcript", type=Path, help="text file: what the speech says, in English")
    parser.add_argument("--plot", type=Path, help="picture to draw: mouth against reference")
    parser.add_argument("--sheet", type=Path, help="picture to draw: faces at telling moments")
    parser.add_argument("--parent", type=int, help="pid of the process to end with")
    options = parser.parse_args(arguments)
    if options.parent:
        limits.die_with_parent(options.parent)
    limits.no_core_dumps()
    limits.limit_memory(_MEMORY_MB)
    av.logging.set_level(av.logging.PANIC)
    try:
        report = _judge(options.video, options.speech, options.reference, options.transcript)
        if options.plot or options.sheet:
            from stages.encode.judge import drawing  # Pillow is not needed for figures

            if options.plot:
                drawing.plot(report, options.plot)
            if options.sheet:
                drawing.sheet(report, options.video, options.sheet)
    except Unjudgeable as e:
        print(json.dumps({"error": str(e), "hint": e.hint}))  # noqa: T201 - the caller reads it
        return 2
    print(json.dumps(_rounded(report.figures())))  # noqa: T201 - the caller reads it
    return 0


def _judge(video: Path, speech: Path, portrait: Path | None, transcript: Path | None) -> Report:
    heard = sound.load(speech)
    if transcript is None:
        reference = energy.expected(heard)
    else:
        spoken = alignment.align(heard, _text(transcript))
        reference = phones.expected(spoken, len(heard) / sound.RATE)
    return judge(video, heard, reference, portrait)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise Unjudgeable(f"the transcript {path} can't be read as UTF-8 text: {e}") from None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
