"""``python -m stages.infer.sonic.weights check|convert``: what ``lipstage weights`` runs where torch is.

JSON lines on stdout: ``{"progress": ...}`` while it works, then one ``{"report": ...}`` or ``{"refused": ...}``. Exit
status 2 when something is refused. A process of its own: it opens files of strangers and needs no credentials.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.slot import limits
from stages.infer.sonic.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.layout import Part
from stages.infer.sonic.weights import check, convert

_REFUSED = 2
_EVERY_S = 0.2


class Progress:
    """Sums up what is told and says it a few times a second."""

    def __init__(self) -> None:
        self._doing: tuple[Part, str] | None = None
        self._done = 0
        self._said = 0.0

    def __call__(self, part: Part, doing: str, more: int, of: int) -> None:
        """``more`` bytes of a part are done."""
        if (part, doing) != self._doing:
            self._doing, self._done, self._said = (part, doing), 0, 0.0
        self._done += more
        if (now := time.monotonic()) - self._said >= _EVERY_S:
            self._said = now
            _say({"progress": {"part": part, "doing": doing, "bytes": self._done, "of": of}})


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, work, tell."""
    parser = argparse.ArgumentParser(prog="python -m stages.infer.sonic.weights", description=__doc__)
    parser.add_argument("--parent", type=int, help="pid of the process to end with")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="compare a folder with what is published and with the networks")
    checking.add_argument("folder", type=Path)
    checking.add_argument("--quick", action="store_true", help="read no contents")
    converting = commands.add_parser("convert", help="make safetensors of the official files")
    converting.add_argument("folder", type=Path)
    converting.add_argument("out", type=Path)
    converting.add_argument("--dtype", choices=convert.DTYPES, default="float16")
    converting.add_argument("--licence", default="", help="JSON: who accepted which licences when")
    options = parser.parse_args(arguments)
    if options.parent:
        limits.die_with_parent(options.parent)
    limits.no_core_dumps()
    try:
        return _check(options) if options.command == "check" else _convert(options)
    except WeightsRefused as refused:
        _say({"refused": _refused(refused)})
        return _REFUSED


def _check(options: argparse.Namespace) -> int:
    report = check.check(options.folder, Progress(), quick=options.quick)
    _say({"report": asdict(report)})
    return _REFUSED if report.faults else 0


def _convert(options: argparse.Namespace) -> int:
    licence = json.loads(options.licence or "{}")
    if not licence:
        told = "the weights are for non-commercial use only: say that the licences are accepted"
        raise WeightsRefused([Fault(WeightsCode.LICENCE_NOT_ACCEPTED, str(options.folder), found=told)])
    begun = time.monotonic()
    made = convert.convert(options.folder, options.out, options.dtype, licence, Progress())
    _say({"report": {**asdict(made), "seconds": round(time.monotonic() - begun, 1)}})
    return 0


def _refused(refused: WeightsRefused) -> dict[str, Any]:
    return {"code": refused.code, "message": refused.message, "faults": [asdict(fault) for fault in refused.faults]}


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201 - the caller reads it


if __name__ == "__main__":
    sys.exit(main())
