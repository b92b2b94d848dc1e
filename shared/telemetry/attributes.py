"""The registry of span attributes: key, type, unit, description and use of each, and the one setter.

A key that is not registered is not set and not exported: file names, object keys and URLs of users stay in the
service. docs/telemetry.md is generated from this file: ``python -m tools.telemetry_page``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import structlog
from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from shared.telemetry import metrics
from shared.telemetry.values import Kind, typed

__all__ = [
    "IGNORED",
    "RENAMED",
    "RESOURCE_ATTRIBUTES",
    "SPAN_ATTRIBUTES",
    "Attribute",
    "Kind",
    "UnknownAttribute",
    "Use",
    "registered",
    "set_attributes",
]

log = structlog.get_logger()


class Use(Enum):
    """What becomes of an attribute."""

    KEPT = "kept"
    """Exported on the spans that have it."""
    QUERIED = "queried"
    """As KEPT, and on the ``render`` span of each render where it is known: documented queries use these alone."""
    HASHED = "hashed"
    """Exported as a keyed hash of its value."""
    DROPPED = "dropped"
    """Libraries set it; it is not exported, and not counted as dropped by mistake."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One registered attribute."""

    key: str
    kind: Kind
    unit: str
    """Of a number; empty for a count and for anything else."""
    description: str
    use: Use = Use.KEPT


def _of(use: Use, *rows: tuple[str, Kind, str, str]) -> Iterable[Attribute]:
    return (Attribute(*row, use) for row in rows)


INT, FLOAT, BOOL, NAME, TEXT = Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.NAME, Kind.TEXT

_QUERIED = _of(
    Use.QUERIED,
    ("render.job", NAME, "", "job id"),
    ("tenant", NAME, "", "tenant of the job"),
    ("tenant.department", NAME, "", "department that the request names"),
    ("owner.hash", NAME, "", "keyed hash of the owner that the request names; it is set as a hash, never as the name"),
    ("render.date", NAME, "", "day on which the request arrived, YYYY-MM-DD, UTC"),
    ("engine", NAME, "", "name of the engine that animates"),
    (
        "outcome",
        NAME,
        "",
        "of a render: done, rejected, expired, cancelled, failed; of a record see docs/operations.md",
    ),
    ("error.type", NAME, "", "public code of a failed or expired render; of other spans also a class of exception"),
    ("render.rejection", NAME, "", "public code of a rejected render: the user's input, no error of ours"),
    ("attempts", INT, "", "attempts of all stages together; a render without a retry has one for each stage"),
    ("replays", INT, "", "how often the job was replayed from a dead letter"),
    ("inference.steps", INT, "", "denoising steps asked for"),
    ("dynamic.scale", FLOAT, "", "amplitude of the motion asked for"),
    ("expand.ratio", FLOAT, "", "margin around the face, per side, in sizes of its box"),
    ("video.resolution", NAME, "pixels", "WIDTHxHEIGHT"),
    ("video.duration_s", FLOAT, "s", "length of the video"),
    ("video.format", NAME, "", "container of the finished file: mp4"),
    ("face.roi_size", INT, "pixels", "longer side of the face box"),
    ("audio.duration_s", FLOAT, "s", "decoded length of the speech, after trimming"),
    ("audio.duration_asked_s", FLOAT, "s", "duration that the request asks for"),
    ("audio.duration_gap_ms", INT, "ms", "asked minus decoded duration; positive: the speech is shorter than asked"),
    ("container.drift_ms", INT, "ms", "audio against video in the finished file: length and start"),
    (
        "lip.offset_ms",
        INT,
        "ms",
        "mouth against speech; positive: the video is late. Absent where it is not measurable",
    ),
    ("audio.drift_ms", INT, "ms", "the larger of container drift and lip offset, without its sign"),
    ("render.quality", FLOAT, "0..1", "see docs/eval.md; absent when it was not measured"),
    (
        "queue.wait_ms",
        INT,
        "ms",
        "time on the topic until a slot took the record; of a render: the sum over its stages",
    ),
    ("seconds.audio", FLOAT, "s", "wall time of the winning attempt of the audio stage"),
    ("seconds.face", FLOAT, "s", "wall time of the winning attempt of the face stage"),
    ("seconds.infer", FLOAT, "s", "wall time of the winning attempt of the infer stage"),
    ("seconds.encode", FLOAT, "s", "wall time of the winning attempt of the encode stage"),
    ("gpu.seconds", FLOAT, "s", "time on an accelerator; 0 on a CPU"),
    ("cpu.seconds", FLOAT, "s", "CPU time of the worker processes, of the winning attempts; 0 from the cache"),
    ("render.non_optimal", BOOL, "", "the video is worse than it could be, see below; done renders only"),
    ("render.slow", BOOL, "", "above the moving P99 of its engine and resolution, see below; done renders only"),
)
_KEPT = _of(
    Use.KEPT,
    ("stage", NAME, "", "stage of the span, or to which a record is replayed"),
    ("attempt", INT, "", "number of the attempt at the task, from 1"),
    ("cached", BOOL, "", "the output came from the stage's cache"),
    ("inference.resumed_step", INT, "", "denoising step from which a checkpoint continued"),
    ("preset", NAME, "", "named set of engine parameters"),
    ("guidance.audio", FLOAT, "", "guidance scale of the audio"),
    ("guidance.image", FLOAT, "", "guidance scale of the portrait"),
    ("batch.window_count", INT, "", "windows that a diffusion engine denoises"),
    ("gpu.device", NAME, "", "device of the engine"),
    ("gpu.mem_peak_bytes", INT, "bytes", "largest memory in use on the accelerator"),
    ("frames", INT, "", "frames of the video"),
    ("frames.codec", NAME, "", "how the frames are stored between infer and encode"),
    ("image.width", INT, "pixels", "width of the decoded portrait"),
    ("image.height", INT, "pixels", "height of the decoded portrait"),
    ("audio.codec", NAME, "", "codec of the speech"),
    ("audio.sample_rate", INT, "Hz", "sample rate of the speech file"),
    ("audio.channels", INT, "", "channels of the speech file"),
    ("audio.silent", BOOL, "", "the recording is silent"),
    ("face.count", INT, "", "faces found"),
    ("face.score", FLOAT, "0..1", "confidence of the face detection"),
    ("artifact.role", NAME, "", "role of the artifact that is transferred"),
    ("artifact.bytes", INT, "bytes", "size of the artifact"),
    # Messaging, OpenTelemetry semantic conventions 1.44.
    ("messaging.system", NAME, "", "kafka"),
    ("messaging.operation.name", NAME, "", "send or process"),
    ("messaging.operation.type", NAME, "", "send or process"),
    ("messaging.destination.name", NAME, "", "topic"),
    ("messaging.destination.partition.id", NAME, "", "partition, as text"),
    ("messaging.kafka.offset", INT, "", "offset of the record"),
    ("messaging.consumer.group.name", NAME, "", "consumer group"),
    ("messaging.client.id", NAME, "", "Kafka client"),
    ("messaging.message.id", NAME, "", "id of the message"),
    # HTTP, OpenTelemetry semantic conventions 1.44: of the gateway.
    ("http.request.method", NAME, "", "method of a request to the gateway, or to an endpoint of a webhook"),
    ("http.route", NAME, "", "path of the route, with names in place of ids"),
    ("http.response.status_code", INT, "", "status of the answer"),
    ("server.address", NAME, "", "host of the broker, or of an endpoint of a webhook"),
    ("server.port", INT, "", "port of the broker"),
    ("link.kind", NAME, "", "of a link: sender, previous_attempt or replay_of"),
    ("exception.type", NAME, "", "class of the exception"),
    ("exception.escaped", BOOL, "", "the exception left the span"),
)
_HASHED = _of(
    Use.HASHED,
    ("owner", TEXT, "", "owner as the request names it"),
    ("aws.s3.key", TEXT, "", "key of an object"),
    ("messaging.kafka.message.key", TEXT, "", "key of a record"),
)
_DROPPED = _of(
    Use.DROPPED,
    ("messaging.destination_kind", NAME, "", "set by the instrumentation; not in the semantic conventions any more"),
    ("exception.message", TEXT, "", "set by the SDK; quotes what the exception is about: keys and names of users"),
    ("exception.stacktrace", TEXT, "", "set by the SDK; quotes source lines with their values"),
)

SPAN_ATTRIBUTES: Mapping[str, Attribute] = {
    attribute.key: attribute for rows in (_QUERIED, _KEPT, _HASHED, _DROPPED) for attribute in rows
}
"""Every attribute of a span, an event of a span or a link, by key."""

RESOURCE_ATTRIBUTES = frozenset(
    {
        "service.namespace",
        "service.name",
        "service.version",
        "service.instance.id",
        "deployment.environment.name",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "telemetry.sdk.version",
        "k8s.namespace.name",
        "k8s.deployment.name",
        "k8s.pod.name",
        "k8s.node.name",
    }
)
"""Allow-list of resource attributes: not the command line, nor the name of the user."""

RENAMED = {
    "messaging.destination": "messaging.destination.name",
    "messaging.kafka.partition": "messaging.destination.partition.id",
    "messaging.kafka.message.offset": "messaging.kafka.offset",
    "messaging.kafka.consumer.group": "messaging.consumer.group.name",
    "messaging.operation": "messaging.operation.type",
    "messaging.message_id": "messaging.message.id",
}
"""Names of the instrumentation, each with that of the semantic conventions 1.44."""

IGNORED = frozenset(key for key, attribute in SPAN_ATTRIBUTES.items() if attribute.use is Use.DROPPED)
"""Attributes that libraries add and that are not exported: dropped without being counted."""

strict = False
"""True: an unknown key raises. The tests set it. In a service telemetry must never end work: there the value is left
out, counted in lipstage_telemetry_attributes_dropped_total, and its key is logged once."""
_logged: set[str] = set()


class UnknownAttribute(KeyError):
    """The key is not in the registry: add it to shared/telemetry/attributes.py, or correct it."""

    def __str__(self) -> str:
        return f"{self.args[0]!r} is no registered span attribute: add it to shared/telemetry/attributes.py"


def registered(values: Mapping[str, object], *, may_raise: bool = True) -> dict[str, AttributeValue]:
    """The values under registered keys, each in its registered type: NumPy scalars become Python's own.

    None stands for a value that is not known and is left out. So are NaN, infinity, and a value that does not fit its
    type; they are counted. Raises UnknownAttribute while ``strict`` is set. ``may_raise=False`` is for keys that a
    worker process chose: an unknown one never raises, and is not logged.
    """
    kept: dict[str, AttributeValue] = {}
    for key, value in values.items():
        attribute = SPAN_ATTRIBUTES.get(key)
        if attribute is None and strict and may_raise:
            raise UnknownAttribute(key)
        if value is None:
            continue
        if attribute is None or attribute.use is Use.DROPPED:
            fit = None
        else:  # What is hashed is hashed as it is: scrubbed, every mail address would have one hash.
            fit = str(value) if attribute.use is Use.HASHED else typed(value, attribute.kind)
        if fit is None:
            metrics.ATTRIBUTES_DROPPED.inc()
            if attribute is None and may_raise:
                _log_once(key)
        else:
            kept[key] = fit
    return kept


def set_attributes(span: Span, values: Mapping[str, object]) -> None:
    """Set registered attributes on the span; see ``registered``."""
    span.set_attributes(registered(values))


def _log_once(key: str) -> None:
    if key not in _logged:
        _logged.add(key)
        log.warning("attribute_not_registered", key=key)
