"""What ``lipstage weights check`` and ``convert`` do, once their options are read."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.cli import console, licence, weights_program
from shared.cli.connection import locate_store
from shared.cli.errors import BadUse, CliError, ExitCode, Unreachable
from shared.cli.weights import shipped
from shared.cli.weights_program import Progress, Refused

DTYPES = ("float16", "bfloat16", "float32")
MOST_SHOWN = 12
"""Faults of one file in the table; JSON has all."""


def check_shipped(as_json: bool) -> ExitCode:
    """Verify every shipped file and print one line each."""
    faults = [(f, f.fault()) for f in shipped()]
    if as_json:
        console.emit_json([{"owner": f.owner, "name": f.name, "fault": fault} for f, fault in faults])
    else:
        console.table(("OWNER", "FILE", "STATE"), [(f.owner, f.name, fault or "ok") for f, fault in faults])
    return ExitCode.REJECTED if not faults or any(fault for _, fault in faults) else ExitCode.DONE


def check(engine: str | None, source: str, quick: bool, accept: bool, as_json: bool) -> ExitCode:
    """Check a folder of weights and print the table. Raises BadUse, CliError."""
    engine = _chosen(engine)
    folder = _begun(engine, source, accept)[0]
    try:
        report = weights_program.run(engine, ["check", str(folder), *(["--quick"] if quick else [])])
    except Refused as refused:
        _refuse(refused, as_json)
    if as_json:
        console.emit_json(report)
    else:
        _print_report(source, report)
    return ExitCode.REJECTED if report["faults"] else ExitCode.DONE


def convert(engine: str | None, source: str, out: Path, dtype: str, accept: bool, as_json: bool) -> None:
    """Convert a folder of weights and print what was made. Raises BadUse, CliError."""
    if dtype not in DTYPES:
        raise BadUse(f"there is no dtype {dtype!r} here", f"dtypes are {', '.join(DTYPES)}")
    engine = _chosen(engine)
    folder, given = _begun(engine, source, accept)
    target = out.expanduser().absolute()
    try:
        report = weights_program.run(
            engine, ["convert", str(folder), str(target), "--dtype", dtype, "--licence", json.dumps(given)]
        )
    except Refused as refused:
        _refuse(refused, as_json)
    if as_json:
        console.emit_json(report)
        return
    console.table(
        ("FILE", "BYTES", "DTYPE", "SHA256", "BYTES BEFORE", "MADE FROM"),
        [
            (f["path"], f"{f['bytes']:,}", f["dtype"] or "-", f["sha256"][:12], f"{f['origin']['bytes']:,}",
             f["origin"]["path"])
            for f in report["files"].values()
        ],
    )  # fmt: skip
    total = sum(f["bytes"] for f in report["files"].values())
    console.say(f"{total / 1e9:.2f} GB in {out}, {console.seconds(report['seconds'])}")


def _chosen(engine: str | None) -> str:
    """The named engine, else the only one whose weights are not shipped. Raises BadUse."""
    from shared.local.engine_settings import engine_specs

    external = [name for name, spec in engine_specs().items() if spec.weights is not None]
    if engine in external:
        return engine
    if engine is None and len(external) == 1:
        return external[0]
    message = "--engine is needed" if engine is None else f"there are no weights of the engine {engine!r} to get"
    raise BadUse(message, f"engines with weights of their own are {', '.join(external)}")


def _begun(engine: str, source: str, accept: bool) -> tuple[Path, dict[str, str]]:
    """The folder to work on, fetched first where it is in a store, and what was accepted.

    Raises BadUse, CliError, Unreachable.
    """
    from shared.local import engine_weights
    from shared.storage.errors import StorageError, StoreUnavailable
    from shared.storage.weights import is_url

    needed = engine_weights.catalogue(engine)
    assert needed is not None, "only engines with external weights are chosen"
    given = licence.accepted(needed, accept)
    if is_url(source):
        locate_store()
    settings = engine_weights.WeightsSettings()
    try:
        with Progress() as progress:
            folder = engine_weights.local_folder(
                engine, source, settings, lambda name, done, of: progress.show(name, "fetch", done, of)
            )
    except ValueError as e:
        raise BadUse(str(e)) from None
    except StoreUnavailable as e:
        raise Unreachable(f"{e.code}: {e}", "check AWS_* and the bucket's name") from None
    except StorageError as e:
        raise BadUse(f"{e.code}: {e}") from None
    except OSError as e:
        raise CliError(
            f"what is fetched can't be written: {e}", "LIPSTAGE_WEIGHTS_CACHE names another folder"
        ) from None
    return folder, given


def _refuse(refused: Refused, as_json: bool) -> None:
    """Print why, and end. Raises BadUse."""
    told = refused.told
    if as_json:
        console.emit_json(told)
    elif len(told["faults"]) > 1:
        _print_faults(told["faults"])
    raise BadUse(f"{told['code']}: {told['message']}")


def _print_report(source: str, report: dict[str, Any]) -> None:
    console.table(
        ("STATE", "BYTES", "SIZE", "SHA256", "TENSORS", "FILE"),
        [
            (row["state"], f"{row['bytes']:,}" if row["bytes"] is not None else "-", row["size"], row["sha256"],
             row["tensors"] if row["tensors"] is not None else "-", row["path"])
            for row in report["rows"]
        ],
    )  # fmt: skip
    console.say()
    if report["faults"]:
        _print_faults(report["faults"])
        console.say()
    model = {
        "official": "sizes of the published model: held to its published sizes and digests",
        "reduced": "other sizes than the published model's: held to its own JSON files, published figures do not apply",
        "unknown": "its JSON files don't tell its sizes: published sizes and digests apply",
    }[report["model"]]
    if report["layout"] == "converted":
        model = "held to the manifest of its conversion"
    console.say(f"{source}: {report['layout']} layout, {model}")
    found = Counter(fault["file"] for fault in report["faults"])
    console.say(f"{len(report['faults'])} faults in {len(found)} files" if found else "nothing is wrong")


def _print_faults(faults: Sequence[dict[str, str]]) -> None:
    shown: Counter[str] = Counter()
    rows = []
    for fault in faults:
        shown[fault["file"]] += 1
        if shown[fault["file"]] <= MOST_SHOWN:
            rows.append((fault["code"], fault["key"] or "-", fault["expected"] or "-", fault["found"], fault["file"]))
    console.table(("FAULT", "KEY", "EXPECTED", "FOUND", "FILE"), rows)
    for file, count in shown.items():
        if count > MOST_SHOWN:
            console.say(f"and {count - MOST_SHOWN} more of {file}; --json has all")
