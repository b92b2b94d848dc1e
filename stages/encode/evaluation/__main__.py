"""``python -m stages.encode.evaluation VIDEO SPEECH``: prints one JSON document; ``lipstage eval`` runs it.

Exits with status 2 and prints {"error", "hint"} when the files can't be evaluated. It runs in a process of its own,
because it opens untrusted media.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import av.logging

from shared.slot import limits
from stages.encode.evaluation import alignment, energy, phones, sound
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.report import Report, evaluate

_MEMORY_MB = 3072
_DIGITS = 4


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, evaluate, print."""
    parser = argparse.ArgumentParser(prog="python -m stages.encode.evaluation", description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("--reference", type=Path, help="portrait that the video shows")
    parser.add_argument("--transcript", type=Path, help="text file with the words of the speech, in English")
    parser.add_argument("--plot", type=Path, help="picture to write: mouth opening against the reference")
    parser.add_argument("--sheet", type=Path, help="picture to write: faces at selected moments")
    parser.add_argument("--parent", type=int, help="pid of the process to end with")
    options = parser.parse_args(arguments)
    if options.parent:
        limits.die_with_parent(options.parent)
    limits.no_core_dumps()
    limits.limit_memory(_MEMORY_MB)
    av.logging.set_level(av.logging.PANIC)
    try:
        report = _evaluate(options.video, options.speech, options.reference, options.transcript)
        if options.plot or options.sheet:
            from stages.encode.evaluation import drawing  # the metrics alone need no Pillow

            if options.plot:
                drawing.plot(report, options.plot)
            if options.sheet:
                drawing.sheet(report, options.video, options.sheet)
    except EvaluationError as e:
        print(json.dumps({"error": str(e), "hint": e.hint}))  # noqa: T201 - the caller reads it
        return 2
    print(json.dumps(_rounded(report.metrics())))  # noqa: T201 - the caller reads it
    return 0


def _evaluate(video: Path, speech: Path, portrait: Path | None, transcript: Path | None) -> Report:
    recording = sound.load(speech)
    if transcript is None:
        reference = energy.expected(recording)
    else:
        aligned = alignment.align(recording, _text(transcript))
        reference = phones.expected(aligned, len(recording) / sound.RATE)
    return evaluate(video, recording, reference, portrait)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise EvaluationError(f"the transcript {path} can't be read as UTF-8 text: {e}") from None


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
