"""The commands `lipstage dlq ls`, `show`, `replay`, `park`, `discard`, `export` and `import`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from shared.cli.app import OPERATE, app, new_app
from shared.cli.commands.dead_letter_options import filtered
from shared.cli.commands.output import Force, Output

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Go = Annotated[bool, typer.Option("--go", help="Do it; without this only the plan is printed.")]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who does it, for the audit record; default: user@host."),
]
Given = dict[str, Any]

dlq_app = new_app(
    """Dead letters: see, understand, and send back records that could not be processed.

    Exit codes: 0 done, or nothing left to do; 1 some could not be sent; 2 wrong use; 3 broker or object store not
    reachable; 4 a guard left some alone; 130 interrupted (the same command continues).
    """
)
app.add_typer(dlq_app, name="dlq", rich_help_panel=OPERATE)


def dlq_ls(
    given: Given,
    group_by: Annotated[
        str | None, typer.Option("--group-by", help="Count them by code, stage, class, tenant, version or state.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Show the newest so many; default: 50, with --json all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line per dead letter, or per group.")] = False,
) -> None:
    """List dead letters, newest first, with their counts and states."""
    from shared.cli import dlq

    dlq.ls(given, group_by, limit, as_json)


def dlq_show(
    dead_letter: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `dlq ls` prints it: partition:offset.")],
    as_json: Json = False,
) -> None:
    """Explain one dead letter: record, failure, objects, replays."""
    from shared.cli import dlq

    dlq.show(dead_letter, as_json)


def dlq_replay(
    given: Given,
    go: Go = False,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Send at most so many.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", metavar="N", help="Send at most N records a second.")] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            "--max-in-flight", metavar="N", help="Send only while the target has fewer than N records to process."
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TOPIC", help="Another topic that a stage reads; default: where it failed."),
    ] = None,
    patch: Annotated[
        list[str] | None,
        typer.Option(
            "--patch", metavar="NAME=VALUE", help="Change a field of the request, as params.seed=7; repeatable."
        ),
    ] = None,
    transform: Annotated[
        Path | None,
        typer.Option(
            "--transform",
            metavar="FILE.py",
            help="Change each record by its function transform(record), which returns the record, or None to leave it"
            " out.",
        ),
    ] = None,
    extend_deadline: Annotated[
        str | None,
        typer.Option("--extend-deadline", metavar="TIME", help="Let deadlines end so long from now: 30m, 2h, 1d."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also what was replayed, parked or discarded, what failed after three replays, and what would fail the"
            " same way. Never for jobs that have ended otherwise.",
        ),
    ] = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Send dead letters back to the stages that failed. Prints the plan; --go carries it out.

    A record keeps its key, headers and value, and gets one new trace, linked to the failed one. It is refused when its
    job is done, cancelled, rejected or purged, when its deadline has passed, and when it would fail the same way; after
    three replays it is parked. What was sent is noted: an interrupted replay continues with the same command.
    """
    from shared.cli import dlq_replay

    options = dlq_replay.Options(
        go, limit, rate, max_in_flight, to, tuple(patch or ()), transform, extend_deadline, force, by
    )
    raise typer.Exit(dlq_replay.replay(given, options, as_json))


def dlq_park(
    given: Given,
    reason: Annotated[str | None, typer.Option("--reason", help="Why; is kept with the state.")] = None,
    go: Go = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Copy dead letters to render.parked: a replay leaves them alone. Prints the number; --go does it."""
    from shared.cli import dlq

    raise typer.Exit(dlq.put_away("park", given, reason, go, by, as_json))


def dlq_discard(
    given: Given,
    reason: Annotated[str, typer.Option("--reason", help="Why; is kept with the state.")],
    go: Go = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Note that dead letters need nothing any more. Prints the number; --go does it. Nothing is deleted."""
    from shared.cli import dlq

    raise typer.Exit(dlq.put_away("discard", given, reason, go, by, as_json))


def dlq_export(given: Given, output: Output, force: Force = False) -> None:
    """Write dead letters to a file, one JSON line each.

    Key, value and headers are base64, byte for byte.
    """
    from shared.cli import dlq_transfer

    dlq_transfer.export(given, output, force)


def dlq_import(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of `dlq export`; - for stdin.")],
    force: Annotated[bool, typer.Option("--force", help="Also those that are there already.")] = False,
    as_json: Json = False,
) -> None:
    """Write exported dead letters to render.dlq.

    They are new dead letters; those that are there already are refused.
    """
    from shared.cli import dlq_transfer

    raise typer.Exit(dlq_transfer.import_file(file, force, as_json))


for _name, _command in (
    ("ls", filtered(dlq_ls, ids=False)),
    ("show", dlq_show),
    ("replay", filtered(dlq_replay)),
    ("park", filtered(dlq_park)),
    ("discard", filtered(dlq_discard)),
    ("export", filtered(dlq_export)),
    ("import", dlq_import),
):
    dlq_app.command(_name)(_command)
