"""A trace context as two values, traceparent and tracestate: in a task's fields, and in a process's environment.

The names of the variables are those that OpenTelemetry specifies: TRACEPARENT and TRACESTATE.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from opentelemetry.context import Context

from shared.telemetry.propagation import extract, inject

MAX_STATE_CHARACTERS = 512
"""Of a stored tracestate: W3C Trace Context asks for the propagation of so many; members that do not fit are left out,
the oldest first."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """The context of one span; both None without one."""

    traceparent: str | None = None
    tracestate: str | None = None

    def context(self) -> Context:
        """The context; an empty one where the traceparent is absent or malformed. Never raises."""
        values = (("traceparent", self.traceparent), ("tracestate", self.tracestate))
        return extract([(name, value.encode("utf-8", "replace")) for name, value in values if value])


def carrier(context: Context | None = None) -> Carrier:
    """The carrier of a context; without one, of the current context."""
    values = {name: value.decode() for name, value in inject(context)}
    state = values.get("tracestate")
    while state and len(state) > MAX_STATE_CHARACTERS:
        state = state.rpartition(",")[0]
    return Carrier(values.get("traceparent"), state or None)


def of_environment(environment: Mapping[str, str] | None = None) -> Context:
    """The context that the caller of this program passes in TRACEPARENT and TRACESTATE; an empty one without them."""
    variables = os.environ if environment is None else environment
    return Carrier(variables.get("TRACEPARENT"), variables.get("TRACESTATE")).context()
