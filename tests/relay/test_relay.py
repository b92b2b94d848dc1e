"""The relay with the real broker: when, where and how records return."""

from collections import defaultdict

from shared.messages.delivery_headers import RETRY_CODE, RETRY_TOPIC
from tests.relay.harness import Arrived, Retries, until

TRACEPARENT = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
SECONDS = {"1s": 1, "2s": 2, "20s": 20}


def early(retried: list[Arrived], returned: list[Arrived]) -> list[tuple[bytes | None, int]]:
    """Value and milliseconds of each record that returned before its delay was over, by the broker's clock."""
    due = {one.value: one.timestamp_ms + 1000 * SECONDS[one.topic.rpartition(".")[2]] for one in retried}
    waits = [(one.value, one.timestamp_ms - due[one.value]) for one in returned]
    return [(value, wait) for value, wait in waits if wait < 0]


def test_records_return_when_their_tier_is_over_and_in_order(retries: Retries) -> None:
    retries.started()
    headers = retries.headers("render.requests")  # By key: one partition has them all, in the order of the sends.
    for number in range(40):
        retries.put(("1s", "2s")[number % 2], b"%d" % number, headers, partition=number % 4)
        retries.flush()
    returned = retries.reader("render.requests").wait(40)
    retried = retries.reader("render.retry.1s", "render.retry.2s").wait(40)
    assert sorted(int(one.value or b"") for one in returned) == list(range(40))
    assert early(retried, returned) == []
    put = {one.value: one for one in retried}
    for tier in ("1s", "2s"):
        times = [put[one.value].timestamp_ms for one in returned if put[one.value].topic.endswith(tier)]
        assert times == sorted(times), "the order of the tier is kept"


def test_record_returns_byte_for_byte_without_the_two_headers_of_retry_topics(retries: Retries) -> None:
    odd = [
        ("x", b"\xff\xfe"),
        ("x", None),
        ("X", b""),
        ("traceparent", TRACEPARENT),
        ("ce_id", "é".encode()),
        ("lipstage-attempt", b"3"),
        ("lipstage-origin", b"render.requests/1/2"),
        ("x", b"\xff\xfe"),
    ]
    retries.started()
    for value in (b"\x00\xff" * 100, None, b""):
        for key in (b"\xff\x00", None, b""):
            headers = [
                *odd[:3],
                *retries.headers(),
                *odd[3:],
                (RETRY_TOPIC.upper(), retries.prefix.encode() + b"render.face"),
            ]
            retries.put("1s", value, headers, key)
    retries.flush()
    returned = retries.reader("render.face").wait(9)
    assert {(one.key, one.value) for one in returned} == {
        (key, value) for value in (b"\x00\xff" * 100, None, b"") for key in (b"\xff\x00", None, b"")
    }
    assert all(list(one.headers) == odd for one in returned)


def test_headers_do_not_grow_from_round_to_round(retries: Retries) -> None:
    retries.started()
    reader = retries.reader("render.face")
    stage = [("ce_type", b"lipstage.task.face.v1"), ("traceparent", TRACEPARENT), ("lipstage-attempt", b"1")]
    counts = []
    for attempt in range(1, 4):
        before = reader.records[-1].headers if reader.records else stage
        retries.put(
            "1s", b"task", [*before, (RETRY_TOPIC, f"{retries.prefix}render.face".encode()), (RETRY_CODE, b"X")]
        )
        retries.flush()
        counts.append(len(reader.wait(attempt)[-1].headers))
        assert [name for name, _ in reader.records[-1].headers].count("traceparent") == 1
    assert counts == [3, 3, 3]


def test_requests_return_by_key_and_tasks_to_all_partitions(retries: Retries) -> None:
    retries.started()
    for number in range(32):
        retries.put("1s", b"r%d" % number, retries.headers("render.requests"), key=b"job-%d" % (number % 4))
        retries.put("1s", b"t%d" % number, retries.headers("render.encode"), key=b"job")
    for key in range(4):
        retries.producer.produce(f"{retries.prefix}render.requests", b"first", b"job-%d" % key)
    retries.flush()
    partitions = defaultdict(set)
    for one in retries.reader("render.requests").wait(36):
        partitions[one.key].add(one.partition)
    assert [len(numbers) for numbers in partitions.values()] == [1] * 4, "as a client's first request"
    assert len({one.partition for one in retries.reader("render.encode").wait(32)}) == 16


def test_restart_keeps_the_due_time(retries: Retries) -> None:
    """Nothing newer than the waiting record is known to the new process: it asks for the broker's time."""
    first = retries.started()
    retries.put("20s", b"waits")
    retries.flush()
    overdue = 'lipstage_retry_oldest_overdue_seconds{tier="20s"}'
    until(lambda: (first.metric(overdue) or -20) > -12, "it has waited for 8 s")
    assert first.stop() == 0
    retries.started()  # How long that takes is not what is measured.
    retries.producer.produce(f"{retries.prefix}render.encode", b"restart")
    retries.flush()
    (returned,) = retries.reader("render.face").wait(1)
    (retried,) = retries.reader("render.retry.20s").wait(1)
    (restarted,) = retries.reader("render.encode").wait(1)
    assert early([retried], [returned]) == []
    assert returned.timestamp_ms < restarted.timestamp_ms + 16_000, "the wait has not begun again"


def test_tier_that_is_no_longer_configured_is_drained(retries: Retries) -> None:
    retries.put("2s", b"of the old tier")
    retries.flush()
    retries.started(LIPSTAGE_RETRY_TIERS="1s")
    assert retries.reader("render.face").wait(1)[0].value == b"of the old tier"


def test_metrics_show_what_waits_and_what_returned(retries: Retries) -> None:
    relay = retries.started()
    for number in range(3):
        retries.put("20s", b"%d" % number)
    retries.put("1s", b"returns")
    retries.flush()
    until(lambda: relay.metric('lipstage_retries_waiting{tier="20s"}') == 3, "three wait")
    overdue = until(lambda: relay.metric('lipstage_retry_oldest_overdue_seconds{tier="20s"}'), "the oldest has a time")
    assert -20 <= overdue < 0
    until(lambda: relay.metric('lipstage_retries_relayed_total{tier="1s"}') == 1, "one returned")
    until(lambda: relay.metric('lipstage_retries_waiting{tier="1s"}') == 0, "and waits no more")
    assert 'lipstage_retry_oldest_overdue_seconds{tier="1s"}' not in relay.metrics()
