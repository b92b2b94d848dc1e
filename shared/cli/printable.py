"""The one sanitiser of printed text: no text can control the terminal that shows it.

Labels, keys, messages, log lines, spans and file names come from others: an escape sequence in them could set the
window's title, clear the screen or forge a line, and a right-to-left override could reverse a name.
"""

import json
import unicodedata
from typing import Any

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def clean(text: str) -> str:
    r"""The text as one line that is safe to print: unprintable characters become ``\x1b``, ``\u202e`` or ``\n``.

    Spaces of other widths become plain ones. Lone surrogates, as in file names that are not UTF-8, are escaped too, so
    that the text can be written to any stream.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _shown(c) for c in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    code = ord(character)
    escaped = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return _SHORT.get(character, escaped)


def flat(text: str) -> str:
    """The text with single spaces: a run of spaces could fill the line and forge a row on the next one."""
    return " ".join(text.split())


def as_json(value: Any) -> str:
    r"""One line of JSON with the same values; unprintable characters of texts become ``\uXXXX``."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
