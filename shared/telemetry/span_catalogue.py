"""Every span that lipstage exports: its name, kind, service, parent and links."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SpanForm:
    """One form of span."""

    name: str
    """With ``<topic>`` for a topic's name, ``<engine>`` for an engine's."""
    kind: str
    """OpenTelemetry's span kind."""
    service: str
    """``service.name`` of the exporter."""
    parent: str
    links: str
    about: str


SPANS = (
    SpanForm(
        "submit render.requests",
        "INTERNAL",
        "cli, client",
        "the caller's current span, else TRACEPARENT of the environment, else none",
        "",
        "upload of both files, and the request",
    ),
    SpanForm("send <topic>", "PRODUCER", "all", "the span that sends", "", "one record; its context is in the headers"),
    SpanForm(
        "process <topic>",
        "CONSUMER",
        "stages, relay",
        "the sender's span; none for an untrusted request",
        "`sender`; `previous_attempt` for a retry; `replay_of` for a replay",
        "one delivery of a record, until its outcome is published",
    ),
    SpanForm("artifact.get", "INTERNAL", "stages", "process", "", "download of an input"),
    SpanForm("artifact.put", "INTERNAL", "stages, cli", "process or submit", "", "upload of an output or an input"),
    SpanForm("load_audio", "INTERNAL", "audio", "process", "", "the speech: decoding, features, duration"),
    SpanForm("preprocess_image", "INTERNAL", "face", "process", "", "the portrait: decoding, face, mask"),
    SpanForm("run_inference", "INTERNAL", "infer", "process", "", "the animation"),
    SpanForm("<engine>.condition", "INTERNAL", "infer", "run_inference", "", "encoders of a diffusion engine"),
    SpanForm("<engine>.denoise", "INTERNAL", "infer", "run_inference", "", "denoising loop of a diffusion engine"),
    SpanForm("encode_video", "INTERNAL", "encode", "process", "", "the mp4, and its measurement"),
    SpanForm(
        "render",
        "INTERNAL",
        "the stage that ends the job, or the relay",
        "submit; the stage's span where the sender is unknown; for a replay the span of the replay",
        "",
        "the whole render, from the request to its terminal event",
    ),
    SpanForm(
        "send webhook",
        "CLIENT",
        "webhooks",
        "the span that published the terminal event; of a retry the attempt before",
        "`sender`; `previous_attempt` for a retry; `replay_of` for a replay",
        "one POST to an endpoint of the tenant; its host, without path and query",
    ),
    SpanForm(
        "replay",
        "PRODUCER",
        "cli, client",
        "none: a replay has a trace of its own",
        "`replay_of`: the span that failed",
        "a dead letter that is sent back",
    ),
)
