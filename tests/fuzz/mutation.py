"""Random changes of bytes: of any, of formats made of parts with a length, and of JSON."""

import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

MAX_BYTES = 64 * 1024
EDGES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers at which sizes and counts overflow or change their sign."""
FRAGMENTS = (
    *("null", "true", "0", "-1", "1e999", "NaN", "9" * 400, "-0.0", "1e-400", '""', "[]", "{}", '"\\ud800"'),
    *('"\\u0000"', '"../../x"', '"' + "x" * 5000 + '"', "[" * 2000, '{"a":' * 500 + "1" + "}" * 500, '"\u202e"'),
    *("9007199254740993", "1.0", '"1"', "[null]", '{"a":1,"a":2}', "99999999999999999999"),
)


def mutate_bytes(rng: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """One to eight changes: bits, bytes, numbers, and runs that are removed, repeated, moved or taken from others."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not changed:
            changed = bytearray(rng.randbytes(rng.randint(1, 64)))
        # Headers decide more than samples do.
        at = rng.randrange(len(changed) if rng.random() < 0.5 else min(len(changed), 256))
        length = min(rng.choice((1, 2, 4, 8, 16, 64, 1024)), len(changed) - at)
        match rng.randrange(9):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                number = (rng.choice(EDGES) + rng.choice((0, 0, 1, -1))) & 0xFFFFFFFF
                form = rng.choice(("<H", ">H", "<I", ">I"))
                packed = struct.pack(form, number & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))
                changed[at : at + len(packed)] = packed
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[at : at + length] * rng.choice((1, 1, 2, 16))
            case 5:
                changed[at : at + length] = rng.randbytes(length)
            case 6:
                changed[at:at] = rng.randbytes(rng.randint(1, 32))
            case 7:
                other = rng.choice(pool) if pool else bytes(changed)
                begin = rng.randrange(len(other)) if other else 0
                changed[at : at + length] = other[begin : begin + length]
            case 8 if rng.random() < 0.3:
                del changed[at:]
    return bytes(changed[:MAX_BYTES])


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file whose header states its length."""

    start: int
    content: int
    end: int
    size_at: int = 0
    """Offset of its length, and how many bytes that has; 0: none."""
    size_bytes: int = 0
    big: bool = True


TEXTS = (
    *(
        ",",
        ";",
        "\t",
        "|",
        '"',
        '""',
        "'",
        "\n",
        "\r\n",
        "\r",
        "\v",
        "\u2028",
        "\0",
        "\ufeff",
        "#",
        "sep=;\n",
        "=1+1",
        "\\",
    ),
    *(
        "portrait",
        "speech",
        "tenant",
        "params.seed",
        "job_id",
        "me.jpg",
        "a.wav",
        "../../a",
        "/dev/null",
        "(",
        ")",
        "not ",
    ),
    *(
        " and ",
        " or ",
        ">=",
        "!=",
        "1e999",
        "9" * 400,
        "true",
        "\u202e",
        "\U0001f600",
        "x" * 2000,
        "((((",
        "{",
        "}",
        "[",
        "=",
    ),
)
"""What has a meaning in CSV, in headers or in expressions."""


def mutate_text(rng: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Insert, remove and move pieces of text; the bytes stay UTF-8, except for a few."""
    text = data.decode("utf-8", "replace")
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice((1, 2, 5, 20, 200)))
        match rng.randrange(5):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + text[at:end] * rng.choice((2, 2, 50)) + text[end:]
            case 2 if pool:
                other = rng.choice(pool).decode("utf-8", "replace")
                begin = rng.randrange(len(other) + 1)
                text = text[:at] + other[begin : begin + 30] + text[end:]
            case _:
                text = text[:at] + rng.choice(TEXTS) + text[at if rng.random() < 0.5 else end :]
    changed = text.encode()[:MAX_BYTES]
    return mutate_bytes(rng, changed, pool) if rng.random() < 0.05 else changed


def mutate_lines(rng: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Change one line of JSON as JSON, or the whole as text."""
    if rng.random() < 0.3:
        return mutate_text(rng, data, pool)
    lines = data.split(b"\n")
    number = rng.randrange(len(lines))
    lines[number] = mutate_json(rng, lines[number], pool)
    return b"\n".join(lines)


Parts = Callable[[bytes], Sequence[Part]]
Repair = Callable[[bytes], bytes]


def structured(parts: Parts, repair: Repair = bytes) -> Callable[[random.Random, bytes, Sequence[bytes]], bytes]:
    """A mutator that removes, repeats, moves and changes whole parts and keeps the lengths around them right.

    ``repair`` sets what else must be right for a reader to look further: checksums.
    """

    def mutate(rng: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
        if rng.random() < 0.35:
            data = mutate_bytes(rng, data, pool)
        for _ in range(rng.choice((1, 1, 2, 4))):
            found = parts(data)
            if not found:
                data = mutate_bytes(rng, data, pool)
                break
            data = _change_part(rng, data, found, pool, parts)
        return (repair(data) if rng.random() < 0.9 else data)[:MAX_BYTES]

    return mutate


def _change_part(rng: random.Random, data: bytes, found: Sequence[Part], pool: Sequence[bytes], parts: Parts) -> bytes:
    part = rng.choice(found)
    content = data[part.content : part.end]
    match rng.randrange(8):
        case 0:
            return replaced(data, found, part.start, part.end, b"")
        case 1:
            copies = data[part.start : part.end] * rng.choice((1, 1, 3, 50))
            return replaced(data, found, part.start, part.start, copies)
        case 2:
            other = rng.choice(found)
            return replaced(data, found, part.start, part.end, data[other.start : other.end])
        case 3 if pool and (theirs := parts(source := rng.choice(pool))):
            other = rng.choice(theirs)
            return replaced(data, found, part.start, part.start, source[other.start : other.end])
        case 4 if part.size_bytes:
            return _with_size(data, part, rng.choice(EDGES) + rng.choice((0, 0, 1, -1)))
        case 5:
            return replaced(data, found, part.content, part.end, content[: rng.randrange(len(content) + 1)])
        case 6:
            # The fields of a part are at its beginning.
            edited = mutate_bytes(rng, content[:64], pool) + content[64:]
            return replaced(data, found, part.content, part.end, edited)
        case _:
            return replaced(data, found, part.content, part.end, mutate_bytes(rng, content, pool))


def replaced(data: bytes, found: Sequence[Part], start: int, end: int, new: bytes) -> bytes:
    """The data with other bytes from ``start`` to ``end``, and the lengths of the parts around them corrected."""
    for part in found:
        is_around = part.content <= start and end <= part.end and start < part.end
        if part.size_bytes and (is_around or part.content == start == end == part.end):
            data = _with_size(data, part, _size(data, part) + len(new) - (end - start))
    return data[:start] + new + data[end:]


def _size(data: bytes, part: Part) -> int:
    return int.from_bytes(data[part.size_at : part.size_at + part.size_bytes], "big" if part.big else "little")


def _with_size(data: bytes, part: Part, size: int) -> bytes:
    size &= (1 << 8 * part.size_bytes) - 1
    field = size.to_bytes(part.size_bytes, "big" if part.big else "little")
    return data[: part.size_at] + field + data[part.size_at + part.size_bytes :]


def mutate_json(rng: random.Random, data: bytes, pool: Sequence[bytes]) -> bytes:
    """Replace, remove or repeat a value anywhere in a JSON document; sometimes change its bytes as well."""
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data, pool)
    mark = "@@fragment@@"
    for _ in range(rng.choice((1, 1, 2, 4))):
        node, path = document, []
        while isinstance(node, dict | list) and node and (not path or rng.random() < 0.7):
            key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
            path.append((node, key))
            node = node[key]
        if not path:
            break
        parent, key = path[-1]
        match rng.randrange(4):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, dict):
                parent[rng.choice(("unknown", "a\u0000", key.upper(), ""))] = parent[key]
            case 2 if pool:
                parent[key] = mutate_bytes(rng, str(node).encode(errors="replace"), pool).decode("utf-8", "replace")[
                    :200
                ]
            case _:
                parent[key] = mark
    text = json.dumps(document)
    while f'"{mark}"' in text:
        text = text.replace(f'"{mark}"', rng.choice(FRAGMENTS), 1)
    changed = text.encode("utf-8", "replace")
    return (mutate_bytes(rng, changed, pool) if rng.random() < 0.25 else changed)[: 2 * MAX_BYTES]
