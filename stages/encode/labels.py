"""Metadata tags of the mp4: the video is synthetic, and which engine made it."""

from collections.abc import Mapping

from stages.encode.provenance.aigc import FIELD

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's digital source type: a composite of a photograph and what a trained model made. C2PA's manifest repeats it."""
TITLE = "Synthetic talking head"


def labels(engine: str, aigc: str | None = None) -> Mapping[str, str]:
    """Container tags by libav's names, which ``ffprobe`` shows; ``aigc`` is the value of the `AIGC` field."""
    return {
        "title": TITLE,
        "comment": f"Synthetic video: a portrait animated to a speech recording by lipstage, engine {engine}. "
        "The person did not say this on camera.",
        "description": f"synthetic=true; engine={engine}; digitalsourcetype={SOURCE_TYPE}",
        **({} if aigc is None else {FIELD: aigc}),
    }
