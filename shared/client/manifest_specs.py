"""Makes the job specs of a manifest's rows, and says what is wrong with a row."""

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from shared.client import request_fields
from shared.client.errors import InvalidRequest
from shared.client.job_spec import JobSpec
from shared.client.local_files import FileLimits
from shared.client.request_fields import Fields
from shared.messages.engines import DEFAULT_ENGINE
from shared.messages.names import DEFAULT_TENANT

MAX_FAULTS_OF_ROW = 10
MAX_SEARCHES = 10
"""Missing files for which a file of nearly that name is looked for: each search compares a whole folder."""
MAX_VALUE = 40
"""Characters of a value that a fault repeats."""
TEXT_COLUMNS = ("portrait", "speech", "job_id", "tenant", "engine")
"""Columns whose names are not resolved; the first two are paths of files."""
NAMES = (*TEXT_COLUMNS, *request_fields.SECTIONS)
"""Names beside those of parameters and fields, for suggestions."""
NAMESPACE = uuid.UUID("0b0c6b0e-64d8-5f0c-9d8e-4b8a6f1c2d35")
"""Of the job ids that are derived from a batch id. It never changes: a repeated batch would become new jobs."""
_OTHERS = re.compile(r" \(\d+ more problems?\)$")


def job_id_of(tenant: str, batch_id: str, index: int) -> str:
    """The job id of a row that names none, from the batch and its place in the manifest, counted from 0."""
    return uuid.uuid5(NAMESPACE, f"{tenant}/{batch_id}/{index}").hex


class RowSpecs:
    """Makes the specs of the rows, one after the other. It keeps the job ids: no two rows may have the same."""

    def __init__(
        self, folder: Path, is_csv: bool, defaults: Fields, limits: FileLimits, batch_id: str, total: int
    ) -> None:
        self._folder = folder
        self._is_csv = is_csv
        self._defaults = defaults
        self._limits = limits
        self._batch_id = batch_id
        self._total = total
        self._index = 0
        self._searches = 0
        self._line_of: dict[str, int] = {}
        self._tenant: tuple[str, int] | None = None

    def made(self, line: int, cells: Fields) -> tuple[JobSpec | None, list[str]]:
        """The spec of one row, or what is wrong with it."""
        faults: list[str] = []
        index, self._index = self._index, self._index + 1
        paths = [self._file(role, cells, faults) for role in ("portrait", "speech")]
        columns: dict[str, str] = {}
        fields = self._fields(cells, columns, faults)
        fields = request_fields.merged(self._defaults, fields)
        tenant = str(fields.get("tenant") or DEFAULT_TENANT)
        if fields.get("job_id") is None:
            fields["job_id"] = job_id_of(tenant, self._batch_id, index)
        fields["batch"] = {"id": self._batch_id, "index": index, "total": self._total}
        spec: JobSpec | None = None
        while spec is None and len(faults) < MAX_FAULTS_OF_ROW:
            try:
                spec = JobSpec.of_fields(paths[0], paths[1], fields)
            except InvalidRequest as e:
                faults.append(self._place(columns.get(e.field or ""), cells, sentence(e)))
                if not _removed(fields, e.field, columns):
                    break
        if spec is not None:
            faults += self._across_rows(line, spec)
        return (spec if not faults else None), faults

    def _file(self, role: str, cells: Fields, faults: list[str]) -> Path:
        name = cells.pop(role, None)
        if not isinstance(name, str) or not name:
            faults.append(f"{role} is missing: the path of a local file")
            return self._folder
        path = self._folder / name
        try:
            self._limits.check(path, role, suggest=self._searches < MAX_SEARCHES)
        except InvalidRequest as e:
            self._searches += 1
            faults.append(self._place(role, {role: name}, sentence(e)))
        return path

    def _fields(self, cells: Fields, columns: dict[str, str], faults: list[str]) -> Fields:
        """The request fields of the cells; ``columns`` gets the column of each field."""
        engine = str(cells.get("engine") or self._defaults.get("engine") or DEFAULT_ENGINE)
        fields: Fields = {}
        for name, value in cells.items():
            if len(faults) >= MAX_FAULTS_OF_ROW:
                break
            try:
                if name == "batch":
                    raise InvalidRequest("batch can't be set: it is the row's place in the manifest")
                if name in TEXT_COLUMNS:
                    columns[name], fields[name] = name, value
                    continue
                if name == "params" and not isinstance(value, dict):
                    raise InvalidRequest("params must be an object; or set each parameter by its own name")
                if name in request_fields.SECTIONS and isinstance(value, dict):
                    columns |= {f"{name}.{member}": f"{name}.{member}" for member in value}
                    fields = request_fields.merged(fields, {name: value})
                    continue
                path = request_fields.resolve(name, engine, also=NAMES)
                if ".".join(path) in columns:
                    raise InvalidRequest(f"{'.'.join(path)} is set twice, here and by {columns['.'.join(path)]}")
                columns[".".join(path)] = name
                typed = request_fields.value_of(path, value) if self._is_csv and isinstance(value, str) else value
                request_fields.put(fields, path, typed)
            except InvalidRequest as e:
                faults.append(self._place(name, {}, sentence(e)))
        return fields

    def _across_rows(self, line: int, spec: JobSpec) -> Iterator[str]:
        """Faults of a row beside the others."""
        if spec.job_id in self._line_of:
            yield f"job_id {spec.job_id} is already used on line {self._line_of[spec.job_id]}"
        self._line_of.setdefault(spec.job_id, line)
        self._tenant = self._tenant or (spec.key.tenant, line)
        if spec.key.tenant != self._tenant[0]:
            yield f"the tenant differs from that of line {self._tenant[1]}: a batch has one tenant"

    def _place(self, column: str | None, cells: Mapping[str, JsonValue], sentence: str) -> str:
        if column is None:
            return sentence
        value = cells.get(column)
        if value is None and "." in column:
            section, _, member = column.partition(".")
            inner = cells.get(section)
            value = inner.get(member) if isinstance(inner, dict) else None
        text = "" if value is None else f", value {shown(value if isinstance(value, str) else json.dumps(value))}"
        return f", {'column' if self._is_csv else 'field'} {shown(column)}{text}: {sentence}"


def _removed(fields: Fields, field: str | None, columns: Mapping[str, str]) -> bool:
    """Remove the field that is at fault, so that the next check finds the next fault; whether that was possible."""
    if field is None or field not in columns:
        return False
    section, _, member = field.partition(".")
    inside = fields.get(section)
    if not member:
        return fields.pop(section, None) is not None
    return isinstance(inside, dict) and inside.pop(member, None) is not None


def sentence(error: InvalidRequest) -> str:
    """Message and hint of a refusal, without what the list of faults says itself: other problems, nothing was sent."""
    message = _OTHERS.sub("", error.message).rstrip(".")
    hint = (error.hint or "").removesuffix("; nothing was sent").removesuffix("nothing was sent")
    if hint.removeprefix("allowed: ") in message:
        hint = ""
    if hint.startswith("did you mean"):  # One name is enough where there are many faults.
        hint = hint.partition("?")[0] + "?"
    return "; ".join(part for part in (message, *error.details, hint) if part)


def shown(text: str) -> str:
    """A value or a name as a fault repeats it: printable, and cut."""
    text = text.encode("utf-8", "backslashreplace").decode()  # JSON can hold half of a surrogate pair.
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + "..."
