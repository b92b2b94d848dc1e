"""Free text without personal data: paths, keys, URLs, mail addresses, credentials."""

import re

MAX_TEXT = 300
MAX_SEARCHED = 16 * 1024
"""Characters that are searched at most, whatever the limit: the text may be hostile and of any length."""
MARK = "[..]"

# The search must be linear in the length of the text. So an alternative that searches ahead starts only at the start of
# a word, and no two parts of one match the same characters: a quoted path is matched up to its first slash, then to its
# end, without backtracking.
_PRIVATE = re.compile(
    r"""
      '[^'\n/\\]*[/\\][^'\n]*' | "[^"\n/\\]*[/\\][^"\n]*"          # a quoted path, spaces included
    | (?<![^\s'"()<>,;])(?!http/protobuf(?![^\s,;]))                 # any word with a slash or backslash, but OTLP
      [^\s'"()<>,;/\\]*[/\\][^\s'"()<>,;]*
    | (?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+                      # a mail address
    | (?<![^\s'"()<>,;])[^\s'"()<>,;]+                             # a media file
      \.(?:png|jpe?g|webp|avif|hei[cf]|bmp|gif|wav|aif[cf]?|au|snd|mp3|m4a|aac|amr|og[ag]|opus|flac|mp4|mov|3gp|mk[av]|webm)\b
    | (?:password|passwd|secret|token|api_?key|authorization)\s*[=:]\s*(?:(?:bearer|basic)\s+)?\S+
    | \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                                # an access key id
    | \binput_value=[^\n]*                                         # pydantic quotes what it refuses
    | (?<![\w+=-])[\w+=-]{32,}(?![\w+=-])                          # a digest or a token
    """,
    re.VERBOSE | re.IGNORECASE,
)


def scrubbed(text: str, limit: int | None = MAX_TEXT) -> str:
    """The text with personal data replaced by ``[..]``, cut to ``limit`` characters; None: only to ``MAX_SEARCHED``.

    It is valid Unicode: half of a surrogate pair, as in a file's name, would make OTLP refuse a whole batch of spans.
    """
    # Cut before the search, to bound its cost for hostile text.
    most = MAX_SEARCHED if limit is None else min(8 * limit, MAX_SEARCHED)
    bounded = text[:most].encode("utf-8", "replace").decode()
    if len(text) > most:
        # The last word may be half of a key, which no alternative matches.
        bounded = bounded.rpartition(" ")[0] + f" {MARK}"
    return _PRIVATE.sub(MARK, bounded)[:limit]
