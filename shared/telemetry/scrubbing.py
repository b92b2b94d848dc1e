"""Free text without what belongs to users: paths, keys, URLs, addresses, credentials."""

import re

MAX_TEXT = 300
MAX_SEARCHED = 16 * 1024
"""Characters that are looked at, whatever the limit: the text may be hostile and of any length."""
MARK = "[..]"

# The search must cost no more than the text is long. So an alternative that searches ahead begins only where a word
# begins, and no two parts of one can take the same characters: a quoted path is read up to its first slash, then on to
# its end, never back from there.
_PRIVATE = re.compile(
    r"""
      '[^'\n/\\]*[/\\][^'\n]*' | "[^"\n/\\]*[/\\][^"\n]*"          # a quoted path, spaces included
    | (?<![^\s'"()<>,;])[^\s'"()<>,;/\\]*[/\\][^\s'"()<>,;]*       # any word with a slash or backslash
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
    """The text with each such thing replaced by ``[..]``, cut to ``limit`` characters.

    None: not cut but for what is beyond ``MAX_SEARCHED``.
    """
    # Cut generously before the search: hostile text must not cost more than its share.
    most = MAX_SEARCHED if limit is None else min(8 * limit, MAX_SEARCHED)
    bounded = text[:most]
    if len(text) > most:
        # What stood at the cut may be half of a key, which looks like nothing.
        bounded = bounded.rpartition(" ")[0] + f" {MARK}"
    return _PRIVATE.sub(MARK, bounded)[:limit]
