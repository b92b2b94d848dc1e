"""The requests of a day: when they come and how long their videos are. Everything follows from a seed."""

import math
import random
from dataclasses import dataclass

DAY_S = 86_400.0
HOURLY = (1, 1, 1, 1, 1, 2, 3, 5, 8, 10, 11, 10, 9, 10, 11, 11, 10, 9, 7, 6, 5, 4, 3, 2)
"""Weight of each hour of a working day in one region: an assumption."""
MEDIAN_S, SPREAD, SHORTEST_S, LONGEST_S = 10.0, 0.5, 2.0, 60.0
"""Length of videos: log-normal around ten seconds, cut. An assumption."""
BURST_SHARE = 0.3
"""Share of a bursty day's videos that come as batches."""
BURSTS_AT_H = (3.0, 9.5, 11.0, 14.25, 16.0, 21.5)
BURST_S = 60.0
"""A batch is submitted within this time, seconds."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request."""

    at: float
    """Seconds since midnight."""
    video_s: float


def day(videos: int, seed: int, bursts: bool = False) -> list[Job]:
    """``videos`` requests in the order of their times; with ``bursts`` a part of them comes as batches."""
    source = random.Random(seed)
    batched = round(videos * BURST_SHARE) if bursts else 0
    hours = source.choices(range(24), HOURLY, k=videos - batched)
    times = [(hour + source.random()) * 3600 for hour in hours]
    times += [source.choice(BURSTS_AT_H) * 3600 + source.random() * BURST_S for _ in range(batched)]
    return [Job(at, _length(source)) for at in sorted(times)]


def _length(source: random.Random) -> float:
    length = source.lognormvariate(math.log(MEDIAN_S), SPREAD)
    return min(max(length, SHORTEST_S), LONGEST_S)
