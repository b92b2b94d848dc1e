"""``lipstage dlq export`` and ``import``."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.cli import console, dlq_filters
from shared.cli.connection import connect
from shared.cli.errors import BadUse, CliError, ExitCode
from shared.cli.output_file import OutputFile
from shared.cli.printable import as_json as json_line
from shared.client.dead_letters import transfer

STDIN = "-"


def export(given: Mapping[str, Any], output: str, force: bool) -> None:
    """Write the dead letters that match to a file. Raises CliError, ClientError."""
    chosen = dlq_filters.parse(given)
    file = OutputFile(output, force=force, suffixes=(".jsonl",))
    file.check()
    count = 0
    with file.writing() as temporary, temporary.open("w", encoding="utf-8") as lines:
        for one in connect().dead_letters(chosen):
            lines.write(json_line(transfer.encode(one)) + "\n")
            count += 1
    console.note(f"{count} dead letters exported")
    if not file.is_stdout:
        console.say(file.name)


def import_file(name: str, force: bool, as_json: bool) -> ExitCode:
    """Write the dead letters of a file to the topic. Raises CliError, ClientError."""
    try:
        with _lines(name) as lines:
            counts, errors = connect().import_dead_letters(lines, force=force)
    except OSError as e:
        raise BadUse(f"{name} can't be read: {e.strerror or e}") from None
    except UnicodeDecodeError:
        raise BadUse(f"{name} is no text: it is not a file of `lipstage dlq export`") from None
    if as_json:
        console.emit_json({name: counts[name] for name in ("imported", "refused", "failed")} | {"errors": list(errors)})
    else:
        console.say(f"imported {counts['imported']}, refused {counts['refused']}")
    if counts["refused"]:
        console.note("those are there already; --force imports them once more")
    for error in errors:
        console.note(f"not imported: {error}")
    if counts["failed"]:
        raise CliError(f"{counts['failed']} dead letters could not be imported", "run the same command again")
    return ExitCode.GUARD if counts["refused"] else ExitCode.DONE


@contextmanager
def _lines(name: str) -> Iterator[Iterable[str]]:
    if name == STDIN:
        yield sys.stdin
        return
    with Path(name).open(encoding="utf-8") as file:
        yield file
