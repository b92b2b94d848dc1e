"""What is done with a record of either topic, and where: never in the thread that consumes."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog

from shared.messages.topics import EVENTS, WEBHOOKS
from shared.messages.webhook import WebhookNotice
from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.failures import Abandoned, ProducerFailed
from stages.gateway.webhooks.delivering import Delivering, read_notice
from stages.gateway.webhooks.fan_out import FanOut, may_end
from stages.gateway.webhooks.keyed_pool import KeyedPool
from stages.gateway.webhooks.repeating import GoesOn

SIDE_THREADS = 4
"""For what asks no endpoint: events, deferred notices, records that are no notices."""
log = structlog.get_logger()
Step = Callable[[GoesOn], None]


class Handling:
    """Handles records in threads; each comes back as a completion."""

    def __init__(
        self, fan_out: FanOut, delivering: Delivering, pool: KeyedPool, prefix: str, on_failure: Callable[[str], None]
    ) -> None:
        """``on_failure`` gets the reason when only a new process can go on."""
        self._fan_out = fan_out
        self._delivering = delivering
        self._pool = pool
        self._notices = prefix + WEBHOOKS
        self._events = prefix + EVENTS
        self._on_failure = on_failure
        self._side = ThreadPoolExecutor(SIDE_THREADS, thread_name_prefix="side")
        self.completions: Completions = Completions()

    def topics(self, names: Iterable[str]) -> list[str]:
        """Those of the broker's topics that are read: the notices, the events, and the events of tenants that have
        topics of their own."""
        return sorted(
            name for name in names if name in (self._notices, self._events) or name.startswith(f"{self._events}.")
        )

    def needs_nothing(self, record: Record) -> bool:
        """Whether a record is settled without being handled."""
        return record.topic != self._notices and not may_end(record)

    def submit(self, record: Record, assignment: PartitionAssignment) -> None:
        """Handle a record that was delivered."""
        if record.topic != self._notices:
            self._aside(record, assignment, None, partial(self._fan_out, record))
        elif (notice := read_notice(record)) is None:
            self._aside(record, assignment, None, partial(self._delivering.refuse, record))
        else:
            deliver = partial(self._delivering.deliver, record, notice)
            work = partial(self._run, record, assignment, notice, deliver)
            if not self._pool.submit((notice.tenant, notice.endpoint), work):
                self._aside(record, assignment, notice, partial(self._delivering.defer, record, notice))

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.close()
        self._side.shutdown(cancel_futures=True)

    def _aside(self, record: Record, assignment: PartitionAssignment, notice: WebhookNotice | None, step: Step) -> None:
        self._side.submit(self._run, record, assignment, notice, step)

    def _run(self, record: Record, assignment: PartitionAssignment, notice: WebhookNotice | None, step: Step) -> None:
        def goes_on() -> bool:
            return assignment.held and not assignment.revoking

        settled = False
        try:
            if goes_on():
                self._step(record, notice, step, goes_on)
                settled = True
        except Abandoned:
            pass  # It is delivered again.
        except Exception as e:
            # Only a broker that accepts nothing, or a bug in what handles bugs: a new process tries again.
            log.exception("webhook_not_handled")
            self._on_failure(f"{type(e).__name__}: {e}")
        finally:
            self.completions.put(Completion(record, assignment, settled))

    def _step(self, record: Record, notice: WebhookNotice | None, step: Step, goes_on: GoesOn) -> None:
        try:
            step(goes_on)
        except (Abandoned, ProducerFailed):
            raise
        except Exception as e:
            log.exception("webhook_failed")
            self._delivering.give_up(record, notice, e, goes_on)
