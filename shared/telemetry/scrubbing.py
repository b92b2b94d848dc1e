"""Free text without what belongs to users: paths, keys, URLs, addresses, credentials."""

import re

MAX_TEXT = 300
MARK = "[..]"

# Each alternative that searches ahead may begin only where a word begins: else a long hostile word costs its square.
_PRIVATE = re.compile(
    r"""
      '[^'\n]*[/\\][^'\n]*' | "[^"\n]*[/\\][^"\n]*"                # a quoted path, spaces included
    | (?<![^\s'"()<>,;])[^\s'"()<>,;]*[/\\][^\s'"()<>,;]*         # any word with a slash or backslash
    | (?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+                      # an address
    | (?<![^\s'"()<>,;])[^\s'"()<>,;]+                             # a media file
      \.(?:png|jpe?g|webp|bmp|gif|wav|mp3|m4a|aac|ogg|opus|flac|mp4|mov|mkv|webm)\b
    | (?:password|passwd|secret|token|api_?key|authorization)\s*[=:]\s*(?:(?:bearer|basic)\s+)?\S+
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                                # an access key id
    | (?<![\w+=-])[\w+=-]{32,}(?![\w+=-])                          # a digest or a token
    """,
    re.VERBOSE | re.IGNORECASE,
)


def scrubbed(text: str, limit: int | None = MAX_TEXT) -> str:
    """The text with each such thing replaced by ``[..]``, cut to ``limit`` characters (None: not cut)."""
    # Cut generously before the search: hostile text must not cost more than its share.
    bounded = text if limit is None else text[: 8 * limit]
    return _PRIVATE.sub(MARK, bounded)[:limit]
