"""Text that is shown to people: the control characters that a request must not contain."""

import unicodedata

CONTROL_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that control a terminal or a reader: control characters (escape, carriage return), formats
(right-to-left overrides, zero widths), halves of a character, line and paragraph separators."""
ALLOWED_TEXT = "text without control characters (no Unicode category Cc, Cf, Zl, Zp)"
_CLASS = (
    r"\u0000-\u001f\u007f-\u009f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    r"\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb"
)
TEXT_PATTERN = f"^[^{_CLASS}]*$"
r"""The rule as a JSON Schema pattern, for the basic plane: every dialect knows \u, few know \p."""
KEY_PATTERN = rf"^[^/\\{_CLASS}]+(/[^/\\{_CLASS}]+)*$"
"""The same for an object key."""
STORED_KEY_PATTERN = r"^[^/\\\u0000-\u001f\u007f]+(/[^/\\\u0000-\u001f\u007f]+)*$"
"""The key in a task or an event: it may come from a version that accepted more characters."""


def find_control_character(text: str) -> str | None:
    """The first control character, as ``U+202E``; None for text that may be shown as it is."""
    if text.isprintable():
        return None
    return next((f"U+{ord(c):04X}" for c in text if unicodedata.category(c) in CONTROL_CATEGORIES), None)
