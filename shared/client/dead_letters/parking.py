"""Parks and discards dead letters: they stay readable, and a replay leaves them alone."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

from shared.client.connection import Connection
from shared.client.dead_letters import listing
from shared.client.dead_letters.filters import DeadLetterFilter
from shared.client.dead_letters.runs import Run
from shared.client.dead_letters.states import Ledger, read_states
from shared.client.errors import InvalidRequest


def put_away(
    connection: Connection,
    action: Literal["park", "discard"],
    chosen: DeadLetterFilter,
    *,
    by: str,
    reason: str | None,
    go: bool,
    on_progress: Callable[[Counter[str]], None] = lambda _: None,
) -> tuple[Counter[str], tuple[str, ...]]:
    """Park the dead letters that match (copy them to ``render.parked``), or discard them (only a note).

    Those in that state are left alone. Returns counts, and the first reasons of failures. ``go`` False: only counts
    what would be done. Raises InvalidRequest for a discard without a reason, BrokerUnreachable, TopicMissing.
    """
    if action == "discard" and not (reason or "").strip():
        raise InvalidRequest("a discard needs a reason", "for example --reason 'test data'")
    states = read_states(connection, Ledger(connection))
    done: Literal["parked", "discarded"] = "parked" if action == "park" else "discarded"
    prefix = connection.settings.topic_prefix
    if not go:
        counts = Counter[str]()
        for dead in listing.matching(connection, chosen, states):
            counts["before" if states.of(dead).name == done else done] += 1
        return counts, ()
    with Run(connection, action, by, chosen.as_text(), reason) as run:

        def progress() -> None:
            on_progress(run.counts)

        for dead in listing.matching(connection, chosen, states):
            run.raise_if_away()
            if states.of(dead).name == done:
                run.counts["before"] += 1
            elif action == "park":
                run.park(dead, dead.identity(prefix), reason, progress)
            else:
                run.discard(dead, dead.identity(prefix), reason or "", progress)
        run.sender.drain()
        run.raise_if_away()
    return run.counts, tuple(run.errors)
