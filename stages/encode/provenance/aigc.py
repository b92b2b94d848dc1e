"""The implicit label of China's GB 45438-2025: the field ``AIGC`` in a file's metadata, a JSON object."""

import json
from xml.sax.saxutils import escape

FIELD = "AIGC"
"""Name of the field: a key of the mp4's metadata (moov/udta/meta), as TC260's guide for video files has it."""
_GENERATED = "1"
"""Label of content that is certainly generated."""
_NAMESPACE = "http://www.tc260.org.cn/ns/AIGC/1.0/"
_XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
_APP1 = b"\xff\xe1"


def aigc_field(producer: str, job_id: str) -> str:
    """The field's value. The members of whoever distributes the file are empty: he fills them in."""
    return json.dumps(
        {
            "Label": _GENERATED,
            "ContentProducer": producer,
            "ProduceID": job_id,
            "ReservedCode1": "",
            "ContentPropagator": "",
            "PropagateID": "",
            "ReservedCode2": "",
        },
        separators=(",", ":"),
    )


def jpeg_segment(field: str, source_type: str) -> bytes:
    """The field as an XMP packet in a JPEG's APP1 segment, with IPTC's digital source type beside it."""
    packet = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" xmlns:TC260="{_NAMESPACE}"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<TC260:AIGC>{escape(field)}</TC260:AIGC>"
        f"<Iptc4xmpExt:DigitalSourceType>{escape(source_type)}</Iptc4xmpExt:DigitalSourceType>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    ).encode()
    body = _XMP_SEGMENT + packet
    return _APP1 + (len(body) + 2).to_bytes(2, "big") + body
