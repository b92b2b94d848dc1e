"""The consumer loop when the broker fails, without a broker: what waits, what is repeated, what ends the service."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from shared.runtime.consume.assignment import Completion, Completions, PartitionAssignment, Record
from shared.runtime.consume.attempt_counts import dump_counts, parse_counts
from shared.runtime.consume.commits import COMMIT_LIMIT_S
from shared.runtime.consume.consumer_loop import FULL_POLL_S, IDLE_POLL_S, ConsumerLoop

Step = Callable[[], Any]


class Message:
    """A record at this offset, or an error of the client."""

    def __init__(self, offset: int = 0, error: KafkaError | None = None, key: bytes = b"") -> None:
        self._offset, self._error, self._key = offset, error, key

    def error(self) -> KafkaError | None:
        return self._error

    def __getattr__(self, name: str) -> Callable[[], Any]:
        values = {"topic": "t", "partition": 0, "offset": self._offset, "timestamp": (0, 0), "key": self._key}
        return lambda: values.get(name)


class Scripted:
    """A consumer and one slot: each poll makes the next step of the test; after the last one the service stops.

    It keeps what is committed, as a group does.
    """

    count = 1

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.completions = Completions()
        self.taken: list[tuple[Record, PartitionAssignment]] = []
        self.at_broker = TopicPartition("t", 0, 0, metadata="")
        self.errors: list[int] = []
        """Codes of the errors of the next requests."""
        self.on_request: Step = lambda: None
        self.messages: list[Message] = []
        """Records that the client has fetched beside those of the steps."""
        self.timeouts: list[float] = []
        """Those of the polls that make a step."""
        self.loop = ConsumerLoop(self, ["t"], self, self.completions, 0.0)

    def run(self, *steps: Step) -> None:
        self._steps = [lambda: self.assign(), *steps]
        self.loop.run(self.stop, 0.0)

    def poll(self, timeout: float) -> Message | None:
        if timeout == 0:
            return self.messages.pop() if self.messages else None
        self.timeouts.append(timeout)
        if not self._steps:
            self.stop.set()
            return None
        result = self._steps.pop(0)()
        return result if isinstance(result, Message) else None

    def subscribe(self, _topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self.assign = lambda: on_assign(self, [TopicPartition("t", 0)])
        self.lose = lambda: on_lost(self, [TopicPartition("t", 0)])

    def committed(self, _partitions: list[TopicPartition], *, timeout: float) -> list[TopicPartition]:
        self.fail()
        return [self.at_broker]

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        self.fail()
        (self.at_broker,) = offsets
        return offsets

    def fail(self) -> None:
        self.on_request()
        if self.errors:
            raise KafkaException(KafkaError(self.errors.pop(0)))

    def submit(self, record: Record, assignment: PartitionAssignment) -> None:
        self.taken.append((record, assignment))

    def settle(self) -> None:
        self.completions.put(Completion(*self.taken[-1], settled=True))

    @property
    def counts(self) -> dict[int, int]:
        return parse_counts(self.at_broker.metadata)

    def get_watermark_offsets(self, _partition: TopicPartition, *, timeout: float) -> tuple[int, int]:
        return 4, 9

    def incremental_assign(self, _: object) -> None: ...
    def incremental_unassign(self, _: object) -> None: ...
    def pause(self, _: object) -> None: ...
    def resume(self, _: object) -> None: ...
    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed requests are repeated in the next step."""
    monkeypatch.setattr("shared.runtime.consume.group_offsets.RETRY_S", 0.0)
    monkeypatch.setattr("shared.runtime.consume.commit_request.LOST_RETRY_S", 0.0)
    monkeypatch.setattr("shared.runtime.consume.commit_request.TRANSIENT_RETRY_S", 0.0)


def test_record_waits_until_the_counts_of_its_partition_are_read() -> None:
    group = Scripted()
    group.at_broker = TopicPartition("t", 0, 0, metadata=dump_counts({0: 2}))
    group.errors = [KafkaError._TIMED_OUT] * 3

    def nothing_started() -> None:
        assert group.taken == []

    group.run(lambda: Message(0), nothing_started, lambda: None)
    assert [record.crashes for record, _ in group.taken] == [2]


def test_service_whose_slots_all_work_waits_for_completions_not_for_records() -> None:
    group = Scripted()
    group.run(lambda: Message(0), lambda: None, group.settle, lambda: None)
    assert group.timeouts == [IDLE_POLL_S, IDLE_POLL_S, FULL_POLL_S, FULL_POLL_S, IDLE_POLL_S, IDLE_POLL_S]


def test_record_that_waits_for_a_slot_starts_without_a_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Scripted()
    take = group.loop._next_completion

    def completed(wait_s: float = 0.0) -> Completion | None:
        if wait_s and len(group.taken) == 1:
            group.settle()  # While the loop waits.
        return take(wait_s)

    monkeypatch.setattr(group.loop, "_next_completion", completed)
    group.messages = [Message(1)]
    group.run(lambda: Message(0), lambda: None)
    assert [record.offset for record, _ in group.taken] == [0, 1]
    assert group.timeouts[2] == FULL_POLL_S


@pytest.mark.parametrize(
    "code",
    [KafkaError._TIMED_OUT, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.REBALANCE_IN_PROGRESS],
)
def test_record_waits_until_its_count_is_committed(code: int) -> None:
    group = Scripted()

    def broker_fails() -> Message:
        group.errors = [code]
        return Message(0)

    def nothing_started() -> None:
        assert group.taken == []
        assert group.counts == {}

    group.run(broker_fails, nothing_started, lambda: None)
    assert len(group.taken) == 1
    assert group.counts == {}, "the stop in mid-task takes the count back"


def test_settled_record_is_committed_again_after_a_rebalance_in_progress() -> None:
    group = Scripted()

    def settle() -> None:
        group.settle()
        group.errors = [KafkaError.REBALANCE_IN_PROGRESS]

    group.run(lambda: Message(0), settle, lambda: None)
    assert group.at_broker.offset == 1


def test_offsets_are_committed_without_counts_where_the_broker_refuses_them() -> None:
    group = Scripted()

    def refuse() -> Message:
        group.errors = [KafkaError.OFFSET_METADATA_TOO_LARGE]
        return Message(0)

    def started() -> None:
        assert len(group.taken) == 1
        assert group.counts == {}
        group.settle()

    group.run(refuse, started)
    assert group.at_broker.offset == 1


def test_lost_partition_counts_nothing_for_the_process_that_lives() -> None:
    """A broker that was away for longer than the session timeout excludes all members: their tasks did not crash."""
    group = Scripted()
    group.at_broker = TopicPartition("t", 0, 0, metadata=dump_counts({0: 1}))

    def lose() -> None:
        assert group.counts == {0: 2}
        group.lose()
        assert not group.taken[0][1].held
        assert group.counts == {0: 2}, "after a loss nothing is committed"

    def late_completion() -> None:
        group.settle()

    group.run(lambda: Message(0), lose, late_completion, lambda: group.assign(), lambda: Message(0))
    assert [record.crashes for record, _ in group.taken] == [1, 1]
    assert group.counts == {0: 1}


def test_crash_report_of_a_lost_partition_returns() -> None:
    group = Scripted()
    thread: list[threading.Thread] = []

    def crash_and_lose() -> None:
        record, assignment = group.taken[0]
        group.errors = [KafkaError._TIMED_OUT] * 3
        thread.append(threading.Thread(target=assignment.count_crash, args=(record.offset,), daemon=True))
        thread[0].start()

    def not_confirmed() -> None:
        group.lose()
        thread[0].join(10)
        assert not thread[0].is_alive()
        group.errors = []

    group.run(lambda: Message(0), crash_and_lose, not_confirmed)


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (KafkaError._FATAL, "Fatal error: Broker: Static consumer fenced by other consumer with same"
         " group.instance.id", "same LIPSTAGE_GROUP_INSTANCE_ID; each replica needs its own"),
        (KafkaError._FATAL, "Fatal error: something else", "something else"),
        (KafkaError._MAX_POLL_EXCEEDED, "maximum poll interval exceeded", "maximum poll interval"),
    ],
)  # fmt: skip
def test_error_that_ends_the_membership_ends_the_service(code: int, text: str, expected: str) -> None:
    group = Scripted()
    with pytest.raises(KafkaException) as raised:
        group.run(lambda: Message(error=KafkaError(code, text)))
    assert expected in str(raised.value)


def test_other_errors_of_the_client_are_only_logged() -> None:
    group = Scripted()
    group.run(lambda: Message(error=KafkaError(KafkaError._ALL_BROKERS_DOWN)), lambda: Message(0))
    assert len(group.taken) == 1


def test_crash_report_to_a_loop_that_has_ended_returns() -> None:
    group = Scripted()
    group.run(lambda: Message(0))
    record, assignment = group.taken[0]
    assert assignment.held, "this client did not revoke its partitions"
    thread = threading.Thread(target=assignment.count_crash, args=(record.offset,), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_loop_that_waits_for_a_commit_is_alive_until_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that hangs is not cured by killing the services, and would count as a crash of what they run."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    group = Scripted()
    silent: list[float] = []

    def hang() -> None:
        for seconds in (COMMIT_LIMIT_S - 1, 2):
            now[0] += seconds
            silent.append(now[0] - group.loop.heartbeat)

    def hang_in_commit() -> Message:
        group.on_request = hang
        return Message(0)

    def answered() -> None:
        group.on_request = lambda: None
        assert now[0] - group.loop.heartbeat == 0, "alive again at once"

    group.run(hang_in_commit, answered)
    assert silent == [0, COMMIT_LIMIT_S + 1]


def test_new_group_commits_the_start_of_a_partition_of_which_nothing_was_delivered() -> None:
    """As while other partitions fill the buffer. Without an offset an autoscaler knows no lag."""
    group = Scripted()
    group.at_broker = TopicPartition("t", 0)
    group.run()
    assert group.at_broker.offset == 4


def test_recreated_topic_inherits_no_counts() -> None:
    """Offsets that come again belong to other records, on which nothing has crashed yet."""
    group = Scripted()
    group.at_broker = TopicPartition("t", 0, 0, metadata=dump_counts({1: 2}))

    def next_topic() -> Message:
        group.settle()
        return Message(0, key=b"another record")

    def next_record() -> Message:
        group.settle()
        return Message(1, key=b"another record")

    group.run(lambda: Message(0), next_topic, next_record)
    assert [(record.offset, record.crashes) for record, _ in group.taken] == [(0, 0), (0, 0), (1, 0)]


def test_failed_last_commit_does_not_hide_why_the_service_ends() -> None:
    group = Scripted()

    def broken() -> Message:
        group.errors = [KafkaError.GROUP_AUTHORIZATION_FAILED]
        return Message(error=KafkaError(KafkaError._FATAL, "the reason"))

    with pytest.raises(KafkaException, match="the reason"):
        group.run(lambda: Message(0), broken)
