"""A copy of the alert rules that fires within seconds, for runs with induced faults.

Only times change: what is compared, and with which share, stays as it is in production.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
SHORTEST_WINDOW_S = 5
"""A rate needs two samples in its window, at one scrape a second; the window must also outlast a missed scrape."""
DURATION = re.compile(r"(\d+)([smhd])")
WINDOW = re.compile(r"\[(\d+[smhd])\]")
AGE = re.compile(r"(seconds\)? > )(\d+)")
"""A limit in seconds, of a metric or recording whose name ends in seconds."""


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file whose top level is a mapping."""
    content: dict[str, Any] = YAML(typ="safe").load(path)
    return content


def write_yaml(content: Mapping[str, Any], path: Path) -> None:
    """Write a YAML file."""
    YAML(typ="safe").dump(dict(content), path)


def _seconds(duration: str) -> int:
    match = DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"not one number and one unit: {duration}")
    return int(match[1]) * UNITS_S[match[2]]


def _expression(text: str, factor: float) -> str:
    def window(match: re.Match[str]) -> str:
        return f"[{max(SHORTEST_WINDOW_S, round(_seconds(match[1]) / factor))}s]"

    def age(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) / factor:g}"

    return AGE.sub(age, WINDOW.sub(window, text))


def shortened(rules: Mapping[str, Any], factor: float, every_s: int = 1) -> dict[str, Any]:
    """The groups of a rule file with every ``for``, window and limit of an age divided by ``factor``; a window has at
    least ``SHORTEST_WINDOW_S``. They are evaluated every ``every_s`` seconds. ``rules`` is not changed.

    Raises ValueError for a duration that is not one number and one unit.
    """
    groups = []
    for group in rules["groups"]:
        changed = []
        for rule in group["rules"]:
            short = {**rule, "expr": _expression(rule["expr"], factor)}
            if "for" in rule:
                short["for"] = f"{round(_seconds(rule['for']) / factor)}s"
            changed.append(short)
        groups.append({**group, "interval": f"{every_s}s", "rules": changed})
    return {**rules, "groups": groups}
