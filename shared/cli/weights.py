"""``lipstage weights``: prints the inventory of weights, the faults of a folder, and what a conversion made."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from shared.cli import console, licence
from shared.cli.errors import BadUse, CliError, ExitCode, Unreachable
from shared.cli.weights_progress import WeightsProgress
from shared.local import weights_inventory, weights_program
from shared.local.errors import StackError
from shared.local.shipped_weights import shipped
from shared.local.weights_program import ProgramFailed, WeightsRefused
from shared.runtime.engine_settings import variable
from shared.runtime.host.weights import catalogue, local_folder
from shared.runtime.host.weights_settings import WeightsSettings, external_engines
from shared.slot.engines import engine_spec
from shared.storage.errors import StorageError, StoreUnavailable
from shared.storage.weights import is_url

DTYPES = ("float16", "bfloat16", "float32")
MAX_FAULTS_SHOWN = 12
"""Faults of one file in the table; JSON has all."""


def show(as_json: bool) -> None:
    """Print what every stage and engine needs."""
    rows = weights_inventory.rows()
    if as_json:
        console.emit_json([asdict(row) for row in rows])
        return
    console.table(
        ("OWNER", "STATE", "BYTES", "SHA256", "LICENCE", "FILE"),
        [(row.owner, row.state, _bytes(row.size), (row.sha256 or "-")[:12], row.licence, row.name) for row in rows],
    )
    for line in _notes():
        console.say(line)


def check_shipped(as_json: bool) -> ExitCode:
    """Verify every shipped file and print one line each."""
    faults = [(f, f.fault()) for f in shipped()]
    if as_json:
        console.emit_json([{"owner": f.owner, "name": f.name, "fault": fault} for f, fault in faults])
    else:
        console.table(("OWNER", "FILE", "STATE"), [(f.owner, f.name, fault or "ok") for f, fault in faults])
    return ExitCode.REJECTED if not faults or any(fault for _, fault in faults) else ExitCode.DONE


def check(name: str | None, source: str, quick: bool, accept: bool, as_json: bool) -> ExitCode:
    """Check a folder of weights and print the table. Raises BadUse, CliError, Unreachable."""
    engine = _engine(name)
    folder = _prepare(engine, source, accept)[0]
    report = _run(engine, ["check", str(folder), *(["--quick"] if quick else [])], as_json)
    if as_json:
        console.emit_json(report)
    else:
        _print_report(source, report)
    return ExitCode.REJECTED if report["faults"] else ExitCode.DONE


def convert(name: str | None, source: str, out: Path, dtype: str, accept: bool, as_json: bool) -> None:
    """Convert a folder of weights and print what was made. Raises BadUse, CliError, Unreachable."""
    if dtype not in DTYPES:
        raise BadUse(f"unknown dtype {dtype!r}", f"dtypes are {', '.join(DTYPES)}")
    if out.exists() and not out.is_dir():
        raise BadUse(f"the output {out} is not a directory", "name a folder, which is created")
    engine = _engine(name)
    folder, accepted = _prepare(engine, source, accept)
    target = out.expanduser().absolute()
    arguments = ["convert", str(folder), str(target), "--dtype", dtype, "--licence", json.dumps(accepted)]
    report = _run(engine, arguments, as_json)
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


def _engine(name: str | None) -> str:
    """The named engine, else the only one whose weights are not shipped. Raises BadUse."""
    engines = external_engines()
    if name in engines:
        return name
    if name is None and len(engines) == 1:
        return engines[0]
    message = "--engine is needed" if name is None else f"the weights of {name} are shipped"
    raise BadUse(message, f"engines with weights of their own are {', '.join(engines)}")


def _prepare(engine: str, source: str, accept: bool) -> tuple[Path, dict[str, str]]:
    """The folder to work on, fetched first when it is in an object store, and the licences that were accepted.

    Raises BadUse, CliError, Unreachable.
    """
    needed = catalogue(engine)
    if needed is None:
        raise CliError(f"this installation has no catalogue of the engine {engine}")
    accepted = licence.accepted(needed, accept)
    settings = WeightsSettings()
    store = weights_inventory.object_store() if is_url(source) else None
    try:
        with WeightsProgress() as progress:
            folder = local_folder(
                engine,
                source,
                settings,
                store,
                lambda name, done, total: progress.show(name, "fetch", done, total),
            )
    except ValueError as e:
        raise BadUse(str(e)) from None
    except StoreUnavailable as e:
        raise Unreachable(f"{e.code}: {e}", "check AWS_* and the bucket's name") from None
    except StorageError as e:
        raise BadUse(f"{e.code}: {e}") from None
    except OSError as e:
        raise CliError(
            f"the fetched files can't be written: {e}", "LIPSTAGE_WEIGHTS_CACHE names another folder"
        ) from None
    return folder, accepted


def _run(engine: str, arguments: Sequence[str], as_json: bool) -> dict[str, Any]:
    """The report of the weights program. Raises BadUse when it refuses the weights, CliError when it fails."""
    try:
        with WeightsProgress() as progress:
            return weights_program.run(engine, arguments, progress.show)
    except StackError as e:
        environment = engine_spec(engine).environment
        raise CliError(f"{e.code}: {e.message}", environment.setup if environment else None) from None
    except ProgramFailed as e:
        raise CliError(f"the weights program failed: {e}") from None
    except WeightsRefused as refused:
        report = refused.report
        if as_json:
            console.emit_json(report)
        elif len(report["faults"]) > 1:
            _print_faults(report["faults"])
        raise BadUse(f"{report['code']}: {report['message']}") from None


def _bytes(size: int | None) -> str:
    return f"{size:,}" if size is not None else "-"


def _notes() -> list[str]:
    notes: list[str] = []
    for engine in external_engines():
        needed = catalogue(engine)
        if needed is None:
            continue
        place = weights_inventory.location(engine)
        where = place.source or f"the place that {variable(engine, 'weights')} names: a folder or s3://BUCKET/PREFIX"
        if place.folder is not None and str(place.folder) != place.source:
            where += f" ({place.folder})"
        notes += ["", f"{engine} looks in {where}"]
        notes += [f"  {name}: {url}" for name, url in needed.sources.items()]
        notes += ["  and of each network its JSON file:", *(f"    {name}" for name in needed.configs)]
        notes += ["", *licence.lines(needed)]
    return notes


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
        "official": "sizes of the published model: checked against its published sizes and digests",
        "reduced": "sizes differ from the published model: checked against its own JSON files; published figures do not"
        " apply",
        "unknown": "its JSON files do not name its sizes: checked against the published sizes and digests",
    }[report["model"]]
    if report["layout"] == "converted":
        model = "checked against the manifest of its conversion"
    console.say(f"{source}: {report['layout']} layout, {model}")
    files = Counter(fault["file"] for fault in report["faults"])
    console.say(f"{len(report['faults'])} faults in {len(files)} files" if files else "no faults")


def _print_faults(faults: Sequence[dict[str, str]]) -> None:
    shown: Counter[str] = Counter()
    rows = []
    for fault in faults:
        shown[fault["file"]] += 1
        if shown[fault["file"]] <= MAX_FAULTS_SHOWN:
            rows.append((fault["code"], fault["key"] or "-", fault["expected"] or "-", fault["found"], fault["file"]))
    console.table(("FAULT", "KEY", "EXPECTED", "FOUND", "FILE"), rows)
    for file, count in shown.items():
        if count > MAX_FAULTS_SHOWN:
            console.say(f"and {count - MAX_FAULTS_SHOWN} more of {file}; --json has all")
