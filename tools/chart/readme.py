"""The chart's README.md: a text of its own, and a table of values for each section of values.yaml."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tools.chart.files import CHART

VALUES = CHART / "values.yaml"
TEXT = CHART / "README.in.md"
"""The part that people write; ``{values}`` is where the tables go."""
RULE = re.compile(r"# -{3,}$")


@dataclass(frozen=True, slots=True)
class Value:
    """One line of a table."""

    path: str
    default: str
    meaning: str


class Undocumented(ValueError):
    """A value of values.yaml without a comment above it."""


def readme() -> str:
    """The whole file. Raises Undocumented."""
    return TEXT.read_text().replace("{values}", "\n".join(_tables()))


def _tables() -> Iterator[str]:
    lines = VALUES.read_text().splitlines()
    values = YAML().load(VALUES.read_text())
    titles = dict(sections(lines))
    for key in values:
        if title := titles.get(key):
            yield f"\n### {title}\n"
            yield "| value | default | meaning |\n| --- | --- | --- |"
        for one in _values(values, key, key, lines):
            yield f"| `{one.path}` | {one.default} | {one.meaning} |"


def sections(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The first key of each section, and the section's title, which dashes underline."""
    for number, line in enumerate(lines):
        if RULE.match(line):
            key = next(one for one in lines[number:] if re.match(r"\w", one))
            yield key.partition(":")[0], lines[number - 1].removeprefix("# ")


def _values(parent: CommentedMap, key: str, path: str, lines: list[str]) -> Iterator[Value]:
    value, meaning = parent[key], _comment(lines, parent.lc.key(key)[0])
    if path.startswith("stages."):
        yield from _stage(value, path, meaning)
    elif isinstance(value, CommentedMap) and not value.fa.flow_style() and not _is_documented_whole(value, lines):
        if meaning:
            yield Value(path, "", meaning)
        for name in value:
            yield from _values(value, name, f"{path}.{name}", lines)
    elif meaning:
        yield Value(path, _shown(value), meaning)
    else:
        raise Undocumented(path)


def _is_documented_whole(value: CommentedMap, lines: list[str]) -> bool:
    """Whether no key of the map has a comment: then the map is one value, and its own comment describes it."""
    return not any(_comment(lines, value.lc.key(name)[0]) for name in value)


def _stage(value: Any, path: str, meaning: str) -> Iterator[Value]:
    """One line for a stage, with what it sets; the meaning of each value is that of `defaults`."""
    if path == "stages.infer":
        yield Value(path, "", meaning)
        for name, one in value.items():
            yield Value(f"{path}.{name}", _shown(one), _comment_of(value, name))
    else:
        yield Value(path, _shown(value), meaning)


def _comment_of(parent: CommentedMap, name: str) -> str:
    return _comment(VALUES.read_text().splitlines(), parent.lc.key(name)[0])


def _comment(lines: list[str], number: int) -> str:
    """The comment that ends on the line above, as one line; a section's title is none."""
    words: list[str] = []
    while number > 0 and (line := lines[number - 1].strip()).startswith("#") and not RULE.match(line):
        words.insert(0, line.removeprefix("#").strip())
        number -= 1
    return " ".join(words).replace("|", "\\|")


def _shown(value: Any) -> str:
    return f"`{json.dumps(_plain(value))}`"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value
