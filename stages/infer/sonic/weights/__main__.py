"""``python -m stages.infer.sonic.weights check|convert``: what ``lipstage weights`` runs where torch is installed.

It prints JSON lines on stdout: ``{"progress": ...}`` while it works, then one ``{"report": ...}`` or
``{"refused": ...}``. The exit status is 2 when something is refused. It runs as a process of its own without
credentials, because it opens files from unknown sources.
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
from stages.infer.sonic.weights import check, convert
from stages.infer.sonic.weights.faults import Fault, WeightsCode, WeightsRefused
from stages.infer.sonic.weights.layout import Part

_REFUSED = 2
_PRINT_EVERY_S = 0.2


class Progress:
    """Adds up progress and prints it a few times a second."""

    def __init__(self) -> None:
        self._current: tuple[Part, str] | None = None
        self._done = 0
        self._printed_at = 0.0

    def __call__(self, part: Part, operation: str, more: int, total: int) -> None:
        """``more`` bytes of a part are done."""
        if (part, operation) != self._current:
            self._current, self._done, self._printed_at = (part, operation), 0, 0.0
        self._done += more
        if (now := time.monotonic()) - self._printed_at >= _PRINT_EVERY_S:
            self._printed_at = now
            _print({"progress": {"part": part, "doing": operation, "bytes": self._done, "of": total}})


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run the command, print the result; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m stages.infer.sonic.weights", description=__doc__)
    parser.add_argument("--parent", type=int, help="pid of the process to end with")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="compare a folder with what is published and with the networks")
    checking.add_argument("folder", type=Path)
    checking.add_argument("--quick", action="store_true", help="read no contents")
    converting = commands.add_parser("convert", help="convert the official files to safetensors")
    converting.add_argument("folder", type=Path)
    converting.add_argument("out", type=Path)
    converting.add_argument("--dtype", choices=convert.DTYPES, default="float16")
    converting.add_argument("--licence", default="", help="JSON: the accepted licences and the time of acceptance")
    options = parser.parse_args(arguments)
    if options.parent:
        limits.die_with_parent(options.parent)
    limits.no_core_dumps()
    try:
        return _check(options) if options.command == "check" else _convert(options)
    except WeightsRefused as refused:
        _print({"refused": _as_dict(refused)})
        return _REFUSED


def _check(options: argparse.Namespace) -> int:
    report = check.check(options.folder, Progress(), quick=options.quick)
    _print({"report": asdict(report)})
    return _REFUSED if report.faults else 0


def _convert(options: argparse.Namespace) -> int:
    licence = json.loads(options.licence or "{}")
    if not licence:
        reason = "the weights are for non-commercial use only: accept their licences first"
        raise WeightsRefused([Fault(WeightsCode.LICENCE_NOT_ACCEPTED, str(options.folder), found=reason)])
    started = time.monotonic()
    converted = convert.convert(options.folder, options.out, options.dtype, licence, Progress())
    _print({"report": {**asdict(converted), "seconds": round(time.monotonic() - started, 1)}})
    return 0


def _as_dict(refused: WeightsRefused) -> dict[str, Any]:
    return {"code": refused.code, "message": refused.message, "faults": [asdict(fault) for fault in refused.faults]}


def _print(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201 - the caller parses it


if __name__ == "__main__":
    sys.exit(main())
