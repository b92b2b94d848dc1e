"""A request that goes on in the bulk lane: the record byte for byte, on the bulk topic of requests."""

import time

from shared.messages import delivery_headers as own
from shared.messages.lanes import BULK, lane_topic
from shared.runtime.consume.assignment import Headers, Record
from shared.runtime.producers import EventProducer


def passed_on_headers(record: Record) -> Headers:
    """The record's headers with its origin, which its ids and its deadline derive from. The trace stays the sender's:
    this stage has done no work that a span could stand for."""
    delivery = own.read_delivery(record.headers)
    now_ms = time.time_ns() // 1_000_000
    origin_ms = record.appended_ms(now_ms) if delivery.origin_ms is None else delivery.origin_ms
    values = {
        own.ORIGIN: own.source_of(record.headers, record.topic, record.partition, record.offset),
        own.ORIGIN_TIME: origin_ms,
    }
    kept = own.without(record.headers, values)
    return [*kept, *((name, str(value).encode()) for name, value in values.items())]


def pass_on(producers: EventProducer, record: Record) -> None:
    """Send the request to the bulk lane; on return the broker has it. A service that dies before its commit sends it
    again: the second copy finds the documents of the first.

    Raises RecordRefused, TopicMissing, DeliveryFailed.
    """
    producers.send(lane_topic(record.topic, BULK), record.key, record.value, passed_on_headers(record)).wait()
