"""Kafka clients that are not instrumented; a program that only reads loads no OpenTelemetry."""

import logging
from typing import Any

from confluent_kafka import cimpl

LIBRDKAFKA = logging.getLogger("librdkafka")


def raw_producer(config: dict[str, Any]) -> Any:
    """A producer that sends headers exactly as given."""
    return cimpl.Producer(with_logger(config))


def raw_consumer(config: dict[str, Any]) -> Any:
    """A consumer that does not change the trace context."""
    return cimpl.Consumer(with_logger(config))


def with_logger(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration with a logger: librdkafka writes its log to stderr without one."""
    return {**config, "logger": LIBRDKAFKA}
