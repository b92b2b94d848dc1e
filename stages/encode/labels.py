"""Metadata tags of the mp4: the video is synthetic, and which engine made it."""

from collections.abc import Mapping

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeSynthetic"
"""IPTC's digital source type: a composite with synthetic elements."""


def labels(engine: str) -> Mapping[str, str]:
    """Container tags by libav's names; MP4 stores these three (iTunes atoms), so players and ``ffprobe`` show them."""
    return {
        "title": "Synthetic talking head",
        "comment": f"Synthetic video: a portrait animated to a speech recording by lipstage, engine {engine}. "
        "The person did not say this on camera.",
        "description": f"synthetic=true; engine={engine}; digitalsourcetype={SOURCE_TYPE}",
    }
