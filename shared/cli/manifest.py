"""``submit --batch``: many orders from a CSV or JSONL file; all of it is checked before anything is sent."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from shared.cli import assignments
from shared.cli.errors import BadUse
from shared.cli.local_files import found_at
from shared.cli.order import Order, new_job_id

MAX_SHOWN = 20
"""Faulty lines that are printed in full; the others are counted."""
Check = Callable[[Path, Path, assignments.Fields], Order]


def read(path: Path, defaults: assignments.Fields, check: Check) -> list[Order]:
    """The orders of a manifest; relative paths in it are relative to its folder.

    CSV: a header line with ``portrait``, ``speech`` and any of ``job_id``, ``tenant``, ``engine``, request fields and
    parameters as for ``--set``; an empty cell is left out. JSONL: one object a line, ``portrait`` and ``speech`` as
    paths, the rest as in a request. Raises BadUse with every faulty line.
    """
    if found_at(path, "manifest") is None:
        raise BadUse(f"the manifest {path} does not exist")
    if not path.is_file():
        raise BadUse(f"the manifest {path} is not a regular file")
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _jsonl_rows(path)
    batch, orders, faults = new_job_id(), [], []
    seen: dict[str, int] = {}
    try:
        for number, row in rows:
            try:
                order = _order(path.parent, row(), defaults, check)
                if order.job_id in seen:
                    raise BadUse(f"job_id {order.job_id} stands on line {seen[order.job_id]} already")
                seen[order.job_id] = number
                orders.append(order)
            except BadUse as e:
                faults.append(f"line {number}: {'; '.join([e.message, *e.details])}")
    except UnicodeDecodeError as e:
        raise BadUse(f"{path} is not UTF-8 text") from e
    if faults:
        more = [f"... and {len(faults) - MAX_SHOWN} more lines"] if len(faults) > MAX_SHOWN else []
        raise BadUse(f"{path} is faulty:", "nothing was sent", [*faults[:MAX_SHOWN], *more])
    if not orders:
        raise BadUse(f"{path} names no job")
    return [_numbered(order, batch, index, len(orders)) for index, order in enumerate(orders)]


def _numbered(order: Order, batch: str, index: int, total: int) -> Order:
    place: assignments.Fields = {"id": batch, "index": index, "total": total}
    fields: assignments.Fields = {**order.fields, "batch": place}
    return Order(order.job_id, order.portrait, order.speech, fields)


def _order(folder: Path, row: assignments.Fields, defaults: assignments.Fields, check: Check) -> Order:
    paths: list[Path] = []
    for role in ("portrait", "speech"):
        name = row.pop(role, None)
        if not isinstance(name, str) or not name:
            raise BadUse(f"{role} is missing: the path of a local file")
        paths.append(folder / name)
    if "batch" in row:
        raise BadUse("batch is set by this command")
    return check(paths[0], paths[1], assignments.merged(defaults, row))


Row = tuple[int, Callable[[], assignments.Fields]]


def _jsonl_rows(path: Path) -> Iterator[Row]:
    def row(line: str) -> assignments.Fields:
        try:
            value = json.loads(line)
        except ValueError as e:
            raise BadUse(f"not JSON: {e}") from None
        if not isinstance(value, dict):
            raise BadUse("not a JSON object")
        return value

    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, lambda line=line: row(line)  # type: ignore[misc]


def _csv_rows(path: Path) -> Iterator[Row]:
    plain = {"portrait", "speech", "job_id", "tenant", "engine"}

    def row(names: list[str], cells: list[str]) -> assignments.Fields:
        if len(cells) > len(names):
            raise BadUse(f"{len(cells)} cells under {len(names)} columns")
        filled = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
        fields: assignments.Fields = {name: cell for name, cell in filled.items() if name in plain}
        for name in filled.keys() - plain:
            path = assignments.resolve(name, filled.get("engine", "puppet"))
            assignments.put(fields, path, assignments.value_at(path, filled[name]))
        return fields

    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = [name.strip() for name in next(reader, [])]
        if missing := {"portrait", "speech"} - set(names):
            raise BadUse(f"{path}, line 1: the column {' and '.join(sorted(missing))} is missing")
        for cells in reader:
            if any(cell.strip() for cell in cells):
                stripped = [cell.strip() for cell in cells]
                yield reader.line_num, lambda stripped=stripped: row(names, stripped)  # type: ignore[misc]
