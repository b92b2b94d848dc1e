"""``multipart/form-data``, read as it arrives: files go to disk, within their sizes and a least speed."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from shared.messages.codes import Code
from shared.messages.task import MAX_ENVELOPE_BYTES
from stages.gateway.problems import Problem

MULTIPART = "multipart/form-data"
BLOCK_BYTES = 1 << 20
"""As much is kept in memory before it is written."""
LEAST_BYTES = 16 << 10
"""As much arrives within the idle time: an upload of a few bytes now and then must not hold a place for hours."""
MIB = 1 << 20


@dataclass(slots=True)
class Form:
    """A form that has arrived."""

    files: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Part:
    name: str
    limit: int
    """Bytes."""
    path: Path | None
    size: int = 0
    waiting: bytearray = field(default_factory=bytearray)
    file: BufferedWriter | None = None

    def write(self) -> None:
        """Write what waits. Raises OSError."""
        if self.path is not None and self.waiting:
            if self.file is None:
                self.file = self.path.open("xb")
            self.file.write(self.waiting)
            self.waiting.clear()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


class FormReader:
    """Reads one form. ``files`` are the names of its files with their limits in bytes, ``texts`` the other names."""

    def __init__(self, folder: Path, files: Mapping[str, int], texts: Collection[str]) -> None:
        self._folder = folder
        self._files = files
        self._texts = texts
        self._parts: dict[str, _Part] = {}
        self._part: _Part | None = None
        self._header = bytearray(), bytearray()
        self._disposition = b""
        self._ended = False

    async def read(self, request: Request, idle_s: float) -> Form:
        """The form, its files in the folder. Raises Problem, which names the part, ClientDisconnect, OSError."""
        _, options = parse_options_header(request.headers.get("content-type", ""))
        stream, clock = request.stream(), asyncio.get_running_loop().time
        started, arrived = clock(), 0
        try:
            parser = MultipartParser(options.get(b"boundary", b""), self._callbacks())  # type: ignore[arg-type]
            while True:
                async with asyncio.timeout_at(started + idle_s):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                arrived += len(chunk)
                if arrived >= LEAST_BYTES:
                    started, arrived = clock(), 0
                if chunk:
                    parser.write(chunk)
                if self._part is not None and len(self._part.waiting) >= BLOCK_BYTES:
                    await asyncio.to_thread(self._part.write)
            if not self._ended:
                raise _malformed("it ends before its last boundary")
            return await asyncio.to_thread(self._form)
        except TimeoutError:
            raise Problem(408, "REQUEST_TIMEOUT", f"less than {LEAST_BYTES >> 10} KiB arrived within {idle_s:g} s",
                          field=self._part.name if self._part else None) from None  # fmt: skip
        except (FormParserError, ValueError) as e:
            raise _malformed(str(e) or "no boundary is named") from None
        finally:
            for part in self._parts.values():
                part.close()

    def _form(self) -> Form:
        form = Form()
        for name, part in self._parts.items():
            if not part.size:
                raise Problem(422, str(Code.INVALID_REQUEST), f"the part {name} is empty", field=name)
            if part.path is not None:
                part.write()
                form.files[name] = part.path
            else:
                try:
                    form.texts[name] = part.waiting.decode()
                except UnicodeDecodeError:
                    raise Problem(422, str(Code.INVALID_REQUEST), f"the part {name} is not UTF-8", field=name) \
                        from None  # fmt: skip
        return form

    def _callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._part, self._disposition = None, b""

    def _on_header_end(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        self._header = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        """Raises Problem for a part that has no name of the form, or that of another part."""
        kind, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode(errors="replace")
        if kind != b"form-data" or not name:
            raise _malformed("a part has no name")
        if name not in self._files and name not in self._texts:
            known = ", ".join([*self._files, *self._texts])
            raise Problem(422, str(Code.INVALID_REQUEST), f"there is no part {name[:64]!r}", field=name[:64],
                          allowed=known)  # fmt: skip
        if name in self._parts:
            raise Problem(422, str(Code.INVALID_REQUEST), f"two parts have the name {name}", field=name)
        is_file = name in self._files
        # Neither the name nor the type that the client gives the file is used.
        path = self._folder / f"part-{len(self._parts)}" if is_file else None
        self._part = self._parts[name] = _Part(name, self._files[name] if is_file else MAX_ENVELOPE_BYTES, path)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Raises Problem for a part over its limit."""
        part = self._part
        assert part is not None
        part.size += end - start
        if part.size > part.limit:
            most = f"at most {part.limit // MIB} MiB" if part.path is not None else f"at most {part.limit} bytes"
            code = Code.INPUT_TOO_LARGE if part.path is not None else Code.MESSAGE_TOO_LARGE
            raise Problem(413, str(code), f"{part.name} is too large: {most}", field=part.name, allowed=most)
        part.waiting += data[start:end]

    def _on_end(self) -> None:
        self._ended = True


def _malformed(reason: str) -> Problem:
    return Problem(400, str(Code.INVALID_REQUEST), f"the body is not a multipart form: {reason}")
