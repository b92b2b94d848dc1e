"""Retry tiers: how long a record waits on its retry topic before its next attempt."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

_TIER = re.compile(r"([1-9][0-9]{0,4})([smh])")
LONGEST_S = 24 * 3600
"""A longer tier could outlast the retention of its topic, 7 days by default, after which its records are lost."""
_UNIT_S = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier: ``name`` is the end of its topic's name, for example ``10s``."""

    name: str
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Tier":
        """Read a tier such as ``10s``, ``1m`` or ``2h``. Raises ValueError."""
        match = _TIER.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no retry tier: use for example 10s, 1m or 2h")
        return cls(text, int(match[1]) * _UNIT_S[match[2]])


def parse_tiers(names: Sequence[str]) -> tuple[Tier, ...]:
    """Read tiers, the shortest first. Raises ValueError for a malformed one, for one longer than a day, and for tiers
    that do not grow."""
    tiers = tuple(Tier.parse(name) for name in names)
    if any(tier.seconds > LONGEST_S for tier in tiers):
        raise ValueError("a retry tier is at most 24h")
    if any(a.seconds >= b.seconds for a, b in itertools.pairwise(tiers)):
        raise ValueError("each retry tier must be longer than the one before")
    return tiers


DEFAULT_TIERS = parse_tiers(("10s", "1m", "10m"))
