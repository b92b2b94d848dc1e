"""Text that people get to see: the characters it may not hold where a request comes in."""

import unicodedata

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that steer a terminal or a reader instead of being seen: control characters (escape, carriage
return), formats (right-to-left overrides, zero widths), halves of a character, separators of lines and paragraphs."""
ALLOWED = "text without control characters (no Unicode category Cc, Cf, Zl, Zp)"
_CLASS = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
)
PATTERN = f"^[^{_CLASS}]*$"
r"""What a JSON Schema says of it, for the basic plane: every dialect knows \u, few know \p."""
KEY = rf"^[^/\\{_CLASS}]+(/[^/\\{_CLASS}]+)*$"
"""The same for an object's key."""


def hidden(text: str) -> str | None:
    """The first character that is not for people, as ``U+202E``; None for text that may be shown as it is."""
    if text.isprintable():
        return None
    return next((f"U+{ord(c):04X}" for c in text if unicodedata.category(c) in HIDDEN), None)
