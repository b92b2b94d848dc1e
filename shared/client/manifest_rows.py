"""The rows of a batch manifest as text: decodes the file, finds its format and separator, and skips blank lines."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from shared.client.errors import InvalidRequest
from shared.client.local_files import status_of

MAX_BYTES = 64 << 20
MAX_COLUMNS = 200
CSV_SUFFIXES = {".csv", ".tsv", ".tab", ".txt"}
JSON_SUFFIXES = {".jsonl", ".ndjson", ".json"}
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
OTHER_SEPARATORS = "|:"
REQUIRED = ("portrait", "speech")
UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SEP_LINE = re.compile(r'"?sep=(.)"?[,;\s]*', re.IGNORECASE)
"""Also as a spreadsheet saves it again: as a quoted cell, with separators for the other columns."""
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Row:
    """One job of a manifest: its values by column, or why it can't be read."""

    line: int
    """Where it begins, counted from 1."""
    cells: Mapping[str, JsonValue] = field(default_factory=dict)
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a manifest, and its header where it has one."""

    rows: Iterator[Row]
    is_csv: bool
    columns: tuple[str, ...] = ()
    """CSV: the names of the header line."""
    header_line: int = 0


def read(path: Path) -> Table:
    """The rows of a CSV or JSONL file, by its suffix, else by its first character.

    UTF-8, with or without a byte order mark. Lines that are blank or begin with ``#`` are skipped. CSV: RFC 4180 with a
    comma, a semicolon or a tab between the columns, as its header line or a line ``sep=;`` before it says. Raises
    InvalidRequest for a file that can't be read.
    """
    text = _text(path)
    suffix = path.suffix.lower()
    if suffix in JSON_SUFFIXES or (suffix not in CSV_SUFFIXES and text.lstrip()[:1] == "{"):
        if text.lstrip()[:1] == "[":
            raise InvalidRequest(f"{path} is a JSON array", "write one JSON object a line, without brackets and commas")
        return Table(_json_rows(text), is_csv=False)
    return _csv_table(path, text)


def _text(path: Path) -> str:
    status = status_of(path, "manifest")
    if status is None:
        raise InvalidRequest(f"the manifest {path} does not exist")
    if not path.is_file():
        raise InvalidRequest(f"the manifest {path} is not a regular file")
    if status.st_size > MAX_BYTES:
        raise InvalidRequest(
            f"the manifest {path} has more than {MAX_BYTES >> 20} MiB", "split it into several batches"
        )
    try:
        with path.open("rb") as file:
            data = file.read()
    except OSError as e:
        raise InvalidRequest(f"the manifest {path} can't be read: {e.strerror}") from None
    save_as = "save it as UTF-8 (Excel: `CSV UTF-8`)"
    if data.startswith(UTF16) or b"\0" in data[:4]:
        raise InvalidRequest(f"{path} is UTF-16 text, not UTF-8", save_as)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = len(_LINE_END.findall(data[: e.start].decode("latin-1"))) + 1
        raise InvalidRequest(f"{path}, line {line}: byte 0x{data[e.start]:02x} is not UTF-8 text", save_as) from None


def _json_rows(text: str) -> Iterator[Row]:
    for number, line in enumerate(_LINE_END.split(text), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                value = json.loads(line, object_pairs_hook=_members)
            except (ValueError, RecursionError) as e:
                yield Row(number, fault=f"not JSON: {e}")
                continue
            yield Row(number, value) if isinstance(value, dict) else Row(number, fault="not a JSON object")


def _members(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) < len(pairs):
        numbers = Counter(name for name, _ in pairs)
        raise ValueError(f"{next(name for name, number in numbers.items() if number > 1)} occurs twice in one object")
    return members


class _Lines:
    """The lines of a CSV text for ``csv.reader``, without blank lines and comments between the records."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self.number = 0
        """Of the line read last."""
        self.begin = 0
        """Number of the first line of the record; 0 between records. A record spans lines where quotes hold breaks."""

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number += 1
            if not self.begin:
                if not line.strip() or line.lstrip().startswith("#"):
                    continue
                self.begin = self.number
            yield line


def _csv_table(path: Path, text: str) -> Table:
    lines = _Lines(text)
    source = iter(lines)
    header = next(source, None)
    separator = None
    if header is not None and (named := _SEP_LINE.fullmatch(header.rstrip("\r\n"))):
        separator, lines.begin = named[1], 0
        header = next(source, None)
    if header is None:
        raise InvalidRequest(f"{path} has no header line", "the first line names the columns: portrait,speech,...")
    place = f"{path}, line {lines.number}"
    separator = _separator(place, header) if separator is None else separator
    if separator not in SEPARATORS:
        raise InvalidRequest(f"{place}: the separator {separator!r} is not read", _allowed_separators())
    columns = _names(place, header, separator)
    if len(columns) > MAX_COLUMNS:
        raise InvalidRequest(f"{place}: {len(columns)} columns; at most {MAX_COLUMNS} are read")
    duplicates = {name for name, number in Counter(columns).items() if name and number > 1}
    if duplicates:
        raise InvalidRequest(f"{place}: the column {', '.join(sorted(duplicates))} occurs twice")
    header_line, lines.begin = lines.number, 0
    return Table(_csv_rows(lines, source, columns, separator), True, columns, header_line)


def _separator(place: str, header: str) -> str:
    """The separator under which the header has the required columns, else the most frequent one."""
    for separator in SEPARATORS:
        if set(REQUIRED) <= set(_names(place, header, separator)):
            return separator
    found: str = max((*SEPARATORS, *OTHER_SEPARATORS), key=header.count)
    if found in OTHER_SEPARATORS and header.count(found):
        raise InvalidRequest(f"{place}: the separator {found!r} is not read", _allowed_separators())
    return found


def _names(place: str, header: str, separator: str) -> tuple[str, ...]:
    """The cells of the header line. Raises InvalidRequest when it is not CSV, or holds a cell of more than 128 KiB."""
    try:
        return tuple(name.strip() for name in next(csv.reader([header], delimiter=separator)))
    except csv.Error as e:
        raise InvalidRequest(
            f"{place}: not CSV: {e}", "the first line names the columns: portrait,speech,..."
        ) from None


def _allowed_separators() -> str:
    return f"separate the columns by {', '.join(list(SEPARATORS.values())[:-1])} or {list(SEPARATORS.values())[-1]}"


def _csv_rows(lines: _Lines, source: Iterator[str], columns: tuple[str, ...], separator: str) -> Iterator[Row]:
    reader = csv.reader(source, delimiter=separator, strict=True)
    while True:
        lines.begin = 0
        try:
            texts = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as e:
            # What follows can't be told apart from the faulty record.
            yield Row(lines.begin or lines.number, fault=f"not CSV: {e}; the lines after it were not checked")
            return
        if not any(texts):
            continue
        extra = [text for text in texts[len(columns) :] if text]
        unnamed = [text for name, text in zip(columns, texts, strict=False) if text and not name]
        if extra or unnamed:
            yield Row(lines.begin, fault=f"{len(texts)} cells under {len([c for c in columns if c])} named columns")
        else:
            cells: dict[str, JsonValue] = {n: t for n, t in zip(columns, texts, strict=False) if t}
            yield Row(lines.begin, cells)
