"""Lanes: interactive jobs start before bulk jobs, at every stage. Each lane has a topic of its own at each stage."""

from typing import Literal

Lane = Literal["interactive", "bulk"]
INTERACTIVE: Lane = "interactive"
BULK: Lane = "bulk"
LANES: tuple[Lane, ...] = (INTERACTIVE, BULK)
"""The lane that starts first comes first."""
_SUFFIX = ".bulk"


def lane_topic(topic: str, lane: Lane) -> str:
    """The topic of a lane; ``topic`` is the interactive one, with or without the deployment's prefix."""
    return topic + _SUFFIX if lane == BULK else topic


def lane_of(topic: str) -> Lane:
    """The lane of a topic of tasks; interactive for any other topic."""
    return BULK if topic.endswith(_SUFFIX) else INTERACTIVE


def other_lane(topic: str) -> str:
    """The topic of the same stage's other lane."""
    return topic.removesuffix(_SUFFIX) if lane_of(topic) == BULK else topic + _SUFFIX
