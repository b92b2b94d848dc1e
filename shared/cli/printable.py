"""The one sanitiser: whatever is printed passes here, so that no text steers the terminal it is shown on.

Labels, keys, messages, log lines, spans and file names are other people's: an escape sequence among them could set the
window's title, clear the screen or forge a line, and a right-to-left override could turn a name around.
"""

import json
import unicodedata
from typing import Any

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def clean(text: str) -> str:
    r"""The text as one line that is safe to print: what is not printable stands as ``\x1b``, ``\u202e`` or ``\n``.

    Spaces of other widths become plain ones. Halves of a character, as in names of files that are no UTF-8, are shown
    too, and so can be written to any stream.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else _shown(c) for c in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    code = ord(character)
    escaped = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return _SHORT.get(character, escaped)


def flat(text: str) -> str:
    """The text with single spaces: a run of them could fill the line, and begin the next one as a row of ours."""
    return " ".join(text.split())


def as_json(value: Any) -> str:
    r"""One line of JSON with the very same values; in texts what is not printable stands as ``\uXXXX``."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
