"""What counts as a crash of a record, on the real broker: deaths count, whatever else ends a task does not."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

from shared.runtime.consume.assignment import PartitionAssignment, Record
from tests.runtime.doomed_service import DEADLY
from tests.runtime.test_consumer_loop import WAIT_S, Bench, Member, bench, first  # noqa: F401 - a fixture
from tests.runtime.test_positions import until

ROOT = Path(__file__).resolve().parents[2]
DEATH_S = 120


def dies(bench: Bench, slots: int, records: int) -> None:  # noqa: F811
    """A service starts, takes the records, and is killed by one of them."""
    arguments = [bench.settings.bootstrap_servers, bench.topic, bench.group, bench.protocol, str(slots), str(records)]
    command = [sys.executable, "-m", "tests.runtime.doomed_service", *arguments]
    ended = subprocess.run(command, cwd=ROOT, timeout=DEATH_S, check=False)
    assert ended.returncode == -signal.SIGKILL


def crash(record: Record, assignment: PartitionAssignment) -> threading.Thread:
    """The worker process of a slot dies on the record."""
    thread = threading.Thread(target=assignment.count_crash, args=(record.offset,), daemon=True)
    thread.start()
    return thread


def test_deaths_of_the_whole_service_are_counted_and_the_last_one_alone(bench: Bench) -> None:  # noqa: F811
    """Two records run side by side when the service dies; only the guilty one reaches the limit of three."""
    bench.send(0, value=DEADLY)
    bench.send(0)
    for count, neighbour in ((1, 1), (2, 2), (3, 2)):
        dies(bench, slots=2, records=2)
        assert bench.counts(0) == {0: count, 1: neighbour}
    member = bench.member(capacity=2)
    guilty = member.wait(1)
    assert guilty[0].crashes == 3
    member.release(*guilty)
    innocent = member.wait(2)
    assert innocent[0].crashes == 2
    member.release(*innocent)
    until(lambda: (bench.committed(0), bench.counts(0)) == (2, {}), "the counts end with their records")


def test_count_is_at_the_broker_before_the_record_is_submitted(bench: Bench) -> None:  # noqa: F811
    seen: list[dict[int, int]] = []

    class Curious(Member):
        def submit(self, record: Record, assignment: PartitionAssignment) -> None:
            seen.append(bench.counts(record.partition))
            super().submit(record, assignment)

    bench.send(0, 0)
    member = Curious(bench.settings, bench.topic, bench.group, bench.protocol, 1)
    bench.members.append(member)
    member.release(*member.wait(1))
    member.release(*member.wait(2))
    until(lambda: bench.committed(0) == 2, "both are committed")
    assert seen == [{0: 1}, {1: 1}]


def test_service_that_stops_in_mid_task_counts_nothing(bench: Bench) -> None:  # noqa: F811
    bench.send(0)
    member = bench.member()
    member.wait(1)
    assert bench.counts(0) == {0: 1}
    member.close()
    assert (bench.committed(0), bench.counts(0)) == (0, {})
    again = bench.member()
    record, assignment = again.wait(1)
    assert record.crashes == 0
    again.release(record, assignment)


def test_service_that_ends_by_an_exception_counts_nothing(bench: Bench) -> None:  # noqa: F811
    bench.send(0)
    member = bench.member()
    member.wait(1)

    def broken() -> None:
        raise RuntimeError("broken")

    member.loop._dispatcher.choose = broken  # type: ignore[method-assign]
    member.thread.join(WAIT_S)
    assert [str(e) for e in member.failures] == ["broken"]
    assert (bench.committed(0), bench.counts(0)) == (0, {})


def test_revocation_in_mid_task_counts_nothing(bench: Bench) -> None:  # noqa: F811
    """The barrier ends before the tasks; the other member gets one of the records, without a crash."""
    bench.send(0, 1)
    old = bench.member(capacity=2, barrier_s=0.2)
    running = [old.wait(1), old.wait(2)]
    new = bench.member(capacity=2)
    record, assignment = new.wait(1)
    assert record.crashes == 0
    assert [assignment.held for r, assignment in running if r.partition == record.partition] == [False]
    until(lambda: bench.counts(record.partition) == {0: 1}, "it runs at the new member, once")
    new.release(record, assignment)
    until(lambda: bench.counts(record.partition) == {}, "and is settled")


def test_crash_of_the_worker_process_counts_and_survives_a_clean_stop(bench: Bench) -> None:  # noqa: F811
    bench.send(0)
    member = bench.member()
    record, assignment = member.wait(1)
    crash(record, assignment).join(WAIT_S)
    assert bench.counts(0) == {0: 2}, "on return the broker has it: one crash, and the record still runs"
    member.close()
    assert bench.counts(0) == {0: 1}
    again = bench.member()
    record, assignment = again.wait(1)
    assert record.crashes == 1
    again.release(record, assignment)
    until(lambda: (bench.committed(0), bench.counts(0)) == (1, {}), "a settled record has no count")


def test_crash_is_counted_while_a_revocation_waits_for_the_task(bench: Bench) -> None:  # noqa: F811
    bench.send(0, 1)
    old = bench.member(capacity=2)
    running = [old.wait(1), old.wait(2)]
    bench.member()
    assert old.revoking.wait(WAIT_S)
    record, assignment = next(item for item in running if item[1].revoking)
    crashed = crash(record, assignment)
    crashed.join(WAIT_S)
    assert not crashed.is_alive()
    assert bench.counts(record.partition) == {0: 2}
    for item in running:
        old.release(*item)


def test_crash_report_of_a_service_that_has_ended_returns_at_once(bench: Bench) -> None:  # noqa: F811
    bench.send(0)
    member = bench.member()
    record, assignment = member.wait(1)
    member.close()
    crashed = crash(record, assignment)
    crashed.join(WAIT_S)
    assert not crashed.is_alive()
    assert bench.counts(0) == {}


def test_counts_of_records_that_finish_out_of_order_are_exact(bench: Bench) -> None:  # noqa: F811
    bench.send(0, 0, 0)
    member = bench.member(capacity=2)
    first_record, second = member.wait(1), member.wait(2)
    crash(*second).join(WAIT_S)
    assert bench.counts(0) == {0: 1, 1: 2}
    member.release(*second)
    third = member.wait(3)
    assert (bench.committed(0), bench.counts(0)) == (0, {0: 1, 2: 1})
    member.release(*first_record)
    until(lambda: (bench.committed(0), bench.counts(0)) == (2, {2: 1}), "the settled prefix has no counts")
    member.release(*third)


def test_metadata_of_another_version_is_ignored_and_replaced(bench: Bench) -> None:  # noqa: F811
    bench.send(0)
    bench.commit(0, 0, '{"v":2,"n":{"0":9}}')
    member = bench.member()
    record, assignment = member.wait(1)
    assert record.crashes == 0
    assert bench.counts(0) == {0: 1}
    member.release(record, assignment)
    until(lambda: (bench.committed(0), bench.counts(0)) == (1, {}), "it is settled")


def test_unsettled_record_runs_again_in_the_same_service(bench: Bench) -> None:  # noqa: F811
    bench.send(0, 0)
    member = bench.member()
    member.give_back(*member.wait(1))
    next_one = member.wait(2)
    assert next_one[0].offset == 1, "it does not block the record behind it"
    until(lambda: bench.counts(0) == {1: 1}, "it does not run, so it has no count")
    member.release(*next_one)
    again, assignment = member.wait(3)
    assert (again.offset, again.crashes) == (0, 0)
    assert (bench.committed(0), bench.counts(0)) == (0, {0: 1})
    member.release(again, assignment)
    until(lambda: (bench.committed(0), bench.counts(0)) == (2, {}), "all is settled")


def test_open_breaker_starts_nothing_and_keeps_the_partitions(bench: Bench) -> None:  # noqa: F811
    closed = threading.Event()
    asked = threading.Event()

    def may_start(_: int) -> bool:
        asked.set()
        return closed.is_set()

    bench.send(0, 1)
    member = bench.member(may_start=may_start)
    assert asked.wait(WAIT_S)
    until(lambda: (bench.committed(0), bench.committed(1)) == (0, 0), "the start offsets are committed")
    assert member.taken == []
    closed.set()
    member.release(*member.wait(1))
    member.release(*member.wait(2))
    until(lambda: (bench.committed(0), bench.committed(1)) == (1, 1), "both are settled")
    assert all(assignment.held for _, assignment in member.taken)
