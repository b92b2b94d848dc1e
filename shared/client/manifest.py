"""Batch manifests: many job specs from one CSV or JSONL file, all checked before anything is sent (docs/batch.md)."""

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from shared.client import manifest_rows, request_fields
from shared.client.errors import InvalidManifest, InvalidRequest
from shared.client.job_spec import JobSpec, new_job_id
from shared.client.local_files import FileLimits, status_of
from shared.client.manifest_rows import Table
from shared.client.manifest_specs import NAMES, TEXT_COLUMNS, RowSpecs, sentence, shown
from shared.client.request_fields import Fields
from shared.messages.engines import ENGINE_PARAMS
from shared.messages.names import DEFAULT_TENANT, JOB_ID

MAX_SHOWN = 50
"""Faults that an error holds in full; the others are counted."""
Fault = tuple[int, str]
"""Line, and what is wrong there."""


def read(path: Path, defaults: Fields, limits: FileLimits, batch_id: str | None = None) -> list[JobSpec]:
    """The job specs of a manifest, all of them in memory. Arguments and errors are those of ``Manifest``."""
    return list(Manifest(path, defaults, limits, batch_id))


class Manifest:
    """A manifest whose every row has been checked. Iterating it reads the file again and makes one spec at a time."""

    def __init__(self, path: Path, defaults: Fields, limits: FileLimits, batch_id: str | None = None) -> None:
        """``defaults`` are request fields that hold for every row.

        Relative paths in the manifest are relative to its folder. ``batch_id`` None: a fresh one. Raises
        InvalidManifest with every fault, InvalidRequest for a file that can't be read.
        """
        self.path = path
        self.batch_id = checked_batch_id(batch_id) if batch_id is not None else new_job_id()
        self.tenant = DEFAULT_TENANT
        self.engines: frozenset[str] = frozenset()
        """The engines that the rows name."""
        self._defaults = defaults
        self._limits = limits
        self._signature = _signature(path)
        table = manifest_rows.read(path)
        faults = _Faults(_header_faults(table))
        # The number of rows is part of every request: it is counted first.
        self._total = 0 if faults.number else sum(row.fault is None for row in table.rows)
        if not faults.number:
            self._check(faults)
        if not self._total and not faults.number:
            raise InvalidRequest(f"{path} names no job")
        if faults.number:
            raise InvalidManifest(f"{path} is faulty:", "nothing was sent", faults.lines())

    def __len__(self) -> int:
        """Number of jobs."""
        return self._total

    def __iter__(self) -> Iterator[JobSpec]:
        """The specs, in the order of the rows. Raises InvalidRequest for a manifest that has changed, or names a file
        that is gone by now."""
        for line, spec, faults in self._rows():
            if spec is None:
                raise InvalidRequest(f"{self.path}, line {line}{'; '.join(faults)}")
            yield spec

    def _check(self, faults: "_Faults") -> None:
        engines = set[str]()
        for line, spec, texts in self._rows():
            faults.add((line, text) for text in texts)
            if spec is not None:
                self.tenant = spec.key.tenant
                engines.add(spec.engine)
        self.engines = frozenset(engines)

    def _rows(self) -> Iterator[tuple[int, JobSpec | None, list[str]]]:
        """Line, spec and faults of each row. Raises InvalidRequest for another text than the one that was checked."""
        table = manifest_rows.read(self.path)
        if _signature(self.path) != self._signature:
            raise InvalidRequest(f"{self.path} has changed since it was checked")
        specs = RowSpecs(self.path.parent, table.is_csv, self._defaults, self._limits, self.batch_id, self._total)
        for row in table.rows:
            if row.fault is not None:
                yield row.line, None, [row.fault]
            else:
                yield row.line, *specs.made(row.line, dict(row.cells))


class _Faults:
    """The first faults in full, and how many there are."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.number = 0
        self._first: list[Fault] = []
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Count faults; they come in the order of their lines."""
        for fault in faults:
            self.number += 1
            if self.number <= MAX_SHOWN:
                self._first.append(fault)

    def lines(self) -> list[str]:
        """A line for each, and one for those that are counted."""
        lines = [f"line {line}{'' if text.startswith(', ') else ': '}{text}" for line, text in sorted(self._first)]
        return [*lines, *([f"... and {self.number - MAX_SHOWN} more faults"] if self.number > MAX_SHOWN else [])]


def _signature(path: Path) -> tuple[int, int, int] | None:
    """Changes with the content of the file; None where there is none, which the reader reports."""
    status = status_of(path, "manifest")
    return (status.st_ino, status.st_size, status.st_mtime_ns) if status is not None else None


def checked_batch_id(text: str) -> str:
    """The text, if it can be a batch id. Raises InvalidRequest."""
    if re.fullmatch(JOB_ID, text) is None:
        raise InvalidRequest(f"{text!r} is not a batch id", "a batch id has 1 to 64 of A-Z, a-z, 0-9, _ and -")
    return text


def _header_faults(table: Table) -> Iterator[Fault]:
    """Columns that are missing, or that no request has: the same in every row."""
    if not table.is_csv:
        return
    for name in manifest_rows.REQUIRED:
        if name not in table.columns:
            near = difflib.get_close_matches(name, [c.lower() for c in table.columns], n=1, cutoff=0.8)
            seen = next((c for c in table.columns if near and c.lower() == near[0]), None)
            yield table.header_line, f"the column {name} is missing" + (f"; is it {seen!r}?" if seen else "")
    for column in table.columns:
        if column and column not in TEXT_COLUMNS:
            try:
                if column in request_fields.SECTIONS:
                    raise InvalidRequest("a CSV file has a column for each member", f"as {column}.NAME")
                _resolve(column, (*ENGINE_PARAMS,))
            except InvalidRequest as e:
                yield table.header_line, f", column {shown(column)}: {sentence(e)}"


def _resolve(name: str, engines: tuple[str, ...]) -> request_fields.FieldPath:
    """The field that a column names, for any of these engines. Raises InvalidRequest."""
    refused: InvalidRequest | None = None
    for engine in engines:
        try:
            return request_fields.resolve(name, engine, also=NAMES)
        except InvalidRequest as e:
            refused = refused or e
    assert refused is not None, "there is an engine"
    raise refused
