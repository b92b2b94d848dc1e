"""The calls of ``Client`` about dead letters."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal

from shared.client.connection import Connection

if TYPE_CHECKING:
    from shared.client.dead_letters.deciding import ReplayOptions
    from shared.client.dead_letters.detail import DeadLetterDetail
    from shared.client.dead_letters.filters import DeadLetterFilter
    from shared.client.dead_letters.listing import Listed
    from shared.client.dead_letters.replay import Replay


class DeadLetterCalls(ABC):
    """See `shared.client.client.Client`."""

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """The Kafka and S3 clients."""

    def dead_letters(self, chosen: "DeadLetterFilter | None" = None) -> "Iterator[Listed]":
        """The dead letters that match, with their states, partition by partition.

        Raises DeadLetterNotFound for an id that does not exist, BrokerUnreachable, TopicMissing.
        """
        from shared.client.dead_letters import listing
        from shared.client.dead_letters.filters import DeadLetterFilter

        return listing.dead_letters(self.connection, chosen or DeadLetterFilter())

    def dead_letter(self, dead_letter_id: str) -> "DeadLetterDetail":
        """Everything about one dead letter; its id is ``partition:offset``.

        Raises InvalidRequest, DeadLetterNotFound, BrokerUnreachable, TopicMissing.
        """
        from shared.client.dead_letters import detail

        return detail.detail(self.connection, dead_letter_id)

    def replay(self, options: "ReplayOptions") -> "Replay":
        """A replay of the dead letters that exist now: ``plan()`` says what ``run()`` does.

        Raises InvalidRequest, DeadLetterNotFound, BrokerUnreachable, TopicMissing.
        """
        from shared.client.dead_letters.replay import Replay

        return Replay(self.connection, options)

    def put_away(
        self,
        action: Literal["park", "discard"],
        chosen: "DeadLetterFilter",
        *,
        by: str,
        reason: str | None = None,
        go: bool = False,
        on_progress: Callable[[Counter[str]], None] = lambda _: None,
    ) -> tuple[Counter[str], tuple[str, ...]]:
        """Park or discard the dead letters that match; returns counts and the first reasons of failures.

        ``go`` False: only counts what would be done. Raises InvalidRequest for a discard without a reason,
        DeadLetterNotFound, BrokerUnreachable, TopicMissing.
        """
        from shared.client.dead_letters import parking

        return parking.put_away(self.connection, action, chosen, by=by, reason=reason, go=go, on_progress=on_progress)

    def import_dead_letters(self, lines: Iterable[str], *, force: bool = False) -> tuple[Counter[str], tuple[str, ...]]:
        """Write exported dead letters to ``render.dlq``; returns counts and the first reasons of failures.

        Those that are there already are refused, unless ``force``. Raises InvalidRequest for a malformed line,
        BrokerUnreachable, TopicMissing.
        """
        from shared.client.dead_letters import transfer

        return transfer.write(self.connection, lines, force=force)
