"""Allow-list of span attributes, each with its one type.

Other attributes, as file names, keys and URLs of users, are not exported. The type matters to queries: TraceQL compares
an int literal with int attributes only, so an attribute has the same type on every span, and milliseconds are ints.
"""

from enum import Enum


class Kind(Enum):
    """Type of an attribute's value."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    NAME = "name"
    """A short word of a limited alphabet; other values, as paths, are dropped."""
    TEXT = "text"
    """Free text, scrubbed and cut."""


SPAN_ATTRIBUTES = {
    # The render.
    "render.job": Kind.NAME,
    "tenant": Kind.NAME,
    "tenant.department": Kind.NAME,
    "owner.hash": Kind.NAME,
    "engine": Kind.NAME,
    "attempt": Kind.INT,
    "stage": Kind.NAME,
    "outcome": Kind.NAME,
    "cached": Kind.BOOL,
    "inference.steps": Kind.INT,
    "inference.resumed_step": Kind.INT,
    "dynamic.scale": Kind.FLOAT,
    "preset": Kind.NAME,
    "guidance.audio": Kind.FLOAT,
    "guidance.image": Kind.FLOAT,
    "batch.window_count": Kind.INT,
    "gpu.seconds": Kind.FLOAT,
    "gpu.device": Kind.NAME,
    "gpu.mem_peak_bytes": Kind.INT,
    "cpu.seconds": Kind.FLOAT,
    "expand.ratio": Kind.FLOAT,
    "seconds.audio": Kind.FLOAT,
    "seconds.face": Kind.FLOAT,
    "seconds.infer": Kind.FLOAT,
    "seconds.encode": Kind.FLOAT,
    # Media.
    "frames": Kind.INT,
    "video.resolution": Kind.NAME,
    "video.duration_s": Kind.FLOAT,
    "video.format": Kind.NAME,
    "image.width": Kind.INT,
    "image.height": Kind.INT,
    "audio.codec": Kind.NAME,
    "audio.sample_rate": Kind.INT,
    "audio.channels": Kind.INT,
    "audio.duration_s": Kind.FLOAT,
    "audio.duration_asked_s": Kind.FLOAT,
    "audio.duration_gap_ms": Kind.INT,
    "audio.drift_ms": Kind.INT,
    "audio.silent": Kind.BOOL,
    "container.drift_ms": Kind.INT,
    "lip.offset_ms": Kind.INT,
    "render.quality": Kind.FLOAT,
    "face.roi_size": Kind.INT,
    "face.count": Kind.INT,
    "face.score": Kind.FLOAT,
    # Artifacts.
    "artifact.role": Kind.NAME,
    "artifact.bytes": Kind.INT,
    # Messaging, OpenTelemetry semantic conventions 1.44.
    "messaging.system": Kind.NAME,
    "messaging.operation.name": Kind.NAME,
    "messaging.operation.type": Kind.NAME,
    "messaging.destination.name": Kind.NAME,
    "messaging.destination.partition.id": Kind.NAME,
    "messaging.kafka.offset": Kind.INT,
    "messaging.consumer.group.name": Kind.NAME,
    "messaging.client.id": Kind.NAME,
    "messaging.message.id": Kind.NAME,
    "server.address": Kind.NAME,
    "server.port": Kind.INT,
    "queue.wait_ms": Kind.INT,
    # Links.
    "link.kind": Kind.NAME,
    # Errors. A stack trace quotes source lines with their values: only the log has it.
    "error.type": Kind.NAME,
    "exception.type": Kind.NAME,
    "exception.message": Kind.TEXT,
    "exception.escaped": Kind.BOOL,
}

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

IGNORED = frozenset({"messaging.destination_kind", "exception.stacktrace"})
"""Attributes that libraries add and that are not exported: dropped without being counted."""
