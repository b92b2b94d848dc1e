"""Batch manifests: many job specs from one CSV or JSONL file, all checked before anything is sent."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from shared.client import request_fields
from shared.client.errors import InvalidManifest, InvalidRequest
from shared.client.job_spec import JobSpec, new_job_id
from shared.client.local_files import status_of
from shared.client.request_fields import Fields

MAX_SHOWN = 20
"""Faulty lines that an error holds in full; the others are counted."""
PLAIN_COLUMNS = {"portrait", "speech", "job_id", "tenant", "engine"}
"""Columns whose cells are text and whose names are not resolved."""
Check = Callable[[Path, Path, Fields], JobSpec]
"""Makes a spec of portrait, speech and the other fields, or raises InvalidRequest."""
Row = tuple[int, Callable[[], Fields]]


def read(path: Path, defaults: Fields, check: Check) -> list[JobSpec]:
    """The job specs of a manifest. Relative paths in it are relative to its folder; ``defaults`` hold for every line.

    CSV: a header line with ``portrait``, ``speech`` and any of ``job_id``, ``tenant``, ``engine``, request fields and
    parameters; an empty cell is left out. JSONL: one object a line, ``portrait`` and ``speech`` as paths, the rest as
    in a request. Raises InvalidManifest with every faulty line, InvalidRequest for a file that can't be read.
    """
    if status_of(path, "manifest") is None:
        raise InvalidRequest(f"the manifest {path} does not exist")
    if not path.is_file():
        raise InvalidRequest(f"the manifest {path} is not a regular file")
    rows = _csv_rows(path) if path.suffix.lower() == ".csv" else _jsonl_rows(path)
    specs: list[JobSpec] = []
    faults: list[str] = []
    line_of: dict[str, int] = {}
    try:
        for number, row in rows:
            try:
                spec = _spec(path.parent, row(), defaults, check)
                if spec.job_id in line_of:
                    raise InvalidRequest(f"job_id {spec.job_id} is already used on line {line_of[spec.job_id]}")
            except InvalidRequest as e:
                faults.append(f"line {number}: {'; '.join([e.message, *e.details])}")
            else:
                line_of[spec.job_id] = number
                specs.append(spec)
    except UnicodeDecodeError as e:
        raise InvalidRequest(f"{path} is not UTF-8 text") from e
    except OSError as e:
        raise InvalidRequest(f"the manifest {path} can't be read: {e.strerror}") from None
    if faults:
        more = [f"... and {len(faults) - MAX_SHOWN} more lines"] if len(faults) > MAX_SHOWN else []
        raise InvalidManifest(f"{path} is faulty:", "nothing was sent", [*faults[:MAX_SHOWN], *more])
    if not specs:
        raise InvalidRequest(f"{path} names no job")
    batch = new_job_id()
    return [_numbered(spec, batch, index, len(specs)) for index, spec in enumerate(specs)]


def _numbered(spec: JobSpec, batch: str, index: int, total: int) -> JobSpec:
    return replace(spec, fields={**spec.fields, "batch": {"id": batch, "index": index, "total": total}})


def _spec(folder: Path, row: Fields, defaults: Fields, check: Check) -> JobSpec:
    paths: list[Path] = []
    for role in ("portrait", "speech"):
        name = row.pop(role, None)
        if not isinstance(name, str) or not name:
            raise InvalidRequest(f"{role} is missing: the path of a local file")
        paths.append(folder / name)
    if "batch" in row:
        raise InvalidRequest("batch can't be set: it is the line's place in the manifest")
    return check(paths[0], paths[1], request_fields.merged(defaults, row))


def _jsonl_rows(path: Path) -> Iterator[Row]:
    def row(line: str) -> Fields:
        try:
            value = json.loads(line)
        except ValueError as e:
            raise InvalidRequest(f"not JSON: {e}") from None
        if not isinstance(value, dict):
            raise InvalidRequest("not a JSON object")
        return value

    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, lambda line=line: row(line)  # type: ignore[misc]


def _csv_rows(path: Path) -> Iterator[Row]:
    def row(names: list[str], cells: list[str]) -> Fields:
        if len(cells) > len(names):
            raise InvalidRequest(f"{len(cells)} cells under {len(names)} columns")
        filled = {name: cell for name, cell in zip(names, cells, strict=False) if cell}
        fields: Fields = {name: cell for name, cell in filled.items() if name in PLAIN_COLUMNS}
        for name in filled.keys() - PLAIN_COLUMNS:
            field = request_fields.resolve(name, filled.get("engine", "puppet"))
            request_fields.put(fields, field, request_fields.value_of(field, filled[name]))
        return fields

    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = [name.strip() for name in next(reader, [])]
        if missing := {"portrait", "speech"} - set(names):
            raise InvalidRequest(f"{path}, line 1: the column {' and '.join(sorted(missing))} is missing")
        for cells in reader:
            if any(cell.strip() for cell in cells):
                stripped = [cell.strip() for cell in cells]
                yield reader.line_num, lambda stripped=stripped: row(names, stripped)  # type: ignore[misc]
