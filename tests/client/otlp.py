"""Spans as an exporter sends them."""

from collections.abc import Iterable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from shared.telemetry.spans import StoredSpan

KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}


def export_request(spans: Iterable[StoredSpan]) -> bytes:
    """One OTLP export request with these spans."""
    request = ExportTraceServiceRequest()
    for span in spans:
        resource = request.resource_spans.add()
        _add(resource.resource.attributes, {"service.name": span.service, "service.version": span.version})
        one = resource.scope_spans.add().spans.add()
        one.trace_id, one.span_id = bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id)
        one.parent_span_id, one.name = bytes.fromhex(span.parent_id), span.name
        one.start_time_unix_nano, one.end_time_unix_nano = span.start_ns, span.end_ns
        one.kind = KINDS[span.kind]
        _add(one.attributes, span.attributes)
        for link in span.links:
            added = one.links.add()
            added.trace_id, added.span_id = bytes.fromhex(link["trace_id"]), bytes.fromhex(link["span_id"])
            _add(added.attributes, {"link.kind": link["kind"]})
        if span.error is not None:
            one.status.code, one.status.message = 2, span.error
    return request.SerializeToString()


def _add(attributes: object, values: dict[str, bool | int | float | str] | dict[str, str]) -> None:
    for key, value in values.items():
        attribute = attributes.add()  # type: ignore[attr-defined]
        attribute.key = key
        kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
        setattr(attribute.value, kind, value)
