"""What a watcher gets: the state after a change, and the event that made it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.messages.events import AnyEvent

STATE = "state"
"""Type of a message that no event has made: the first one of a watcher, and an end that the object store knew."""


@dataclass(frozen=True, eq=False)
class Message:
    """A message; all watchers of a job share it."""

    position: str
    """Opaque; what follows it can be asked for."""
    type: str
    """``state``, or that of the event."""
    body: Mapping[str, Any]
    """JSON: the state, and ``event``."""
    is_last: bool = False
    """Whether nothing follows: the job, or every job of the batch, has ended."""

    @property
    def is_progress(self) -> bool:
        """Whether a later message makes it needless."""
        return self.type == "progress" and not self.is_last

    @cached_property
    def text(self) -> str:
        """The body as text, made once for all watchers."""
        return json.dumps(self.body, separators=(",", ":"))


def event_json(event: AnyEvent | None) -> dict[str, Any] | None:
    """The event as it is on the topic."""
    return None if event is None else event.model_dump(mode="json", exclude_none=True)
