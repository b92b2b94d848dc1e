"""Small files that take a decoder much work, built here; ``python -m tests.costly_files`` measures the CPU of each.

Run it in another checkout to compare: ``PYTHONPATH=OTHER python tests/costly_files.py``.
"""

import resource
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

LIMIT_S = 20
"""CPU seconds after which the measurement ends a decoder."""


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    value, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
    return value


def flac_stream_info(rate: int, channels: int, samples: int, block: int, *, last: bool) -> bytes:
    packed = rate << 44 | channels - 1 << 41 | 15 << 36 | samples
    body = struct.pack(">HH", block, block) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return bytes([0x80 if last else 0]) + len(body).to_bytes(3, "big") + body


def flac_of_silence(rate: int, channels: int, seconds: float) -> bytes:
    """A FLAC of constant frames: some 40 bytes for 65 535 samples of every channel."""
    block = 65_535
    frames = round(rate * seconds / block)
    parts = [b"fLaC", flac_stream_info(rate, channels, frames * block, block, last=True)]
    for number in range(frames):
        head = b"\xff\xf8\x70" + bytes([channels - 1 << 4 | 8]) + chr(number).encode() + struct.pack(">H", block - 1)
        head += bytes([_crc(head, 0x07, 8)])
        frame = head + bytes(3) * channels  # Subframes of kind CONSTANT: a header, one sample.
        parts.append(frame + struct.pack(">H", _crc(frame, 0x8005, 16)))
    return b"".join(parts)


def of_unknown_length(flac: bytes) -> bytes:
    """The FLAC file without the number of its samples in STREAMINFO."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def comments(count: int) -> bytes:
    entries = (f"{number}=x".encode() for number in range(count))
    return struct.pack("<II", 0, count) + b"".join(struct.pack("<I", len(one)) + one for one in entries)


def flac_of_tags(count: int) -> bytes:
    body = comments(count)
    block = b"\x84" + len(body).to_bytes(3, "big") + body
    return b"fLaC" + flac_stream_info(16_000, 1, 65_535, 65_535, last=False) + block


def ogg_page(body: bytes, number: int, *, flags: int = 0, position: int = 0, segments: bytes) -> bytes:
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, position, 1, number, 0) + bytes([len(segments)]) + segments
    page = head + body
    checksum = _ogg_crc(page)
    return page[:22] + struct.pack("<I", checksum) + page[26:]


_OGG_TABLE = [_crc(bytes([byte]), 0x04C11DB7, 32) for byte in range(256)]


def _ogg_crc(data: bytes) -> int:
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[value >> 24 ^ byte]
    return value


def ogg_of_tags(count: int) -> bytes:
    """An Opus stream whose comment header has many entries."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    pages = [ogg_page(head, 0, flags=2, segments=bytes([len(head)]))]
    tags = b"OpusTags" + comments(count)
    for start in range(0, len(tags), 255 * 255):
        part = tags[start : start + 255 * 255]
        lacing = bytes([255]) * (len(part) // 255)
        if start + 255 * 255 >= len(tags):
            lacing += bytes([len(part) % 255])
        pages.append(ogg_page(part, len(pages), flags=1 if start else 0, segments=lacing))
    return b"".join([*pages, ogg_page(b"\xfc\xff\xfe", len(pages), flags=4, position=960, segments=b"\3")])


def ogg_of_pages(count: int) -> bytes:
    """Pages without content."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    first = ogg_page(head, 0, flags=2, segments=bytes([len(head)]))
    return first + ogg_page(b"", 1, position=-1, segments=b"") * count


def element(name: int, body: bytes) -> bytes:
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + (len(body) | 1 << 56).to_bytes(8, "big") + body


def matroska(*parts: bytes) -> bytes:
    """A Matroska file of one PCM track, and these elements."""
    audio = element(0xE1, element(0xB5, struct.pack(">f", 16_000.0)) + element(0x9F, b"\1") + element(0x6264, b"\x10"))
    track = element(0xD7, b"\1") + element(0x73C5, b"\1") + element(0x83, b"\2") + element(0x86, b"A_PCM/INT/LIT")
    info = element(0x1549A966, element(0x2AD7B1, (1_000_000).to_bytes(4, "big")))
    body = b"".join([info, element(0x1654AE6B, element(0xAE, track + audio)), *parts])
    return element(0x1A45DFA3, element(0x4282, b"matroska")) + element(0x18538067, body)


def cluster(block: bytes, count: int) -> bytes:
    return element(0x1F43B675, element(0xE7, b"\0") + (b"\xa3" + bytes([0x80 | len(block)]) + block) * count)


def matroska_of_packets(count: int) -> bytes:
    """One sample in each packet."""
    return matroska(cluster(b"\x81\0\0\x80\0\0", count))


def matroska_of_tags(count: int) -> bytes:
    def simple(number: int) -> bytes:
        name, text = str(number).encode(), b"x"
        inner = b"\x45\xa3" + bytes([0x80 | len(name)]) + name + b"\x44\x87\x81" + text
        return b"\x67\xc8" + bytes([0x80 | len(inner)]) + inner

    tag = element(0x7373, element(0x63C0, b"") + b"".join(map(simple, range(count))))
    return matroska(element(0x1254C367, tag), cluster(b"\x81\0\0\x80\0\0", 8000))


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def mp4(*boxes: bytes) -> bytes:
    return box(b"ftyp", b"M4A \0\0\0\0M4A ") + b"".join(boxes)


def mp4_of_tags(count: int) -> bytes:
    """Tags under names of their own, as of a player that invents them."""

    def tag(number: int) -> bytes:
        name = box(b"name", bytes(4) + str(number).encode())
        return box(b"----", box(b"mean", bytes(4) + b"a") + name + box(b"data", struct.pack(">II", 1, 0) + b"x"))

    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", b"".join(map(tag, range(count))))))
    return mp4(box(b"moov", box(b"mvhd", bytes(12) + struct.pack(">II", 1000, 1000) + bytes(80)) + tags))


def mp4_of_edits(count: int) -> bytes:
    entries = struct.pack(">IiI", 1, 0, 1 << 16) * count
    edits = box(b"edts", box(b"elst", struct.pack(">II", 0, count) + entries))
    return mp4(box(b"moov", box(b"trak", edits)))


def mp4_of_runs(count: int) -> bytes:
    run = box(b"trun", struct.pack(">II", 0, 0))
    return mp4(box(b"moof", box(b"traf", run * count)))


def mp4_of_boxes(count: int) -> bytes:
    return mp4(box(b"emsg", b"") * count)


def aac_of_tags(count: int) -> bytes:
    """ADTS frames, and an ID3 tag of many entries between them."""
    frame = bytes([0xFF, 0xF1, 0x50, 0x40, 0x01, 0x1F, 0xFC, 0x00])  # 8 bytes, stereo at 44.1 kHz
    entries = b"".join(
        b"TXXX" + struct.pack(">I", len(text)) + bytes(2) + text
        for text in (b"\0" + str(number).encode() + b"\0x" for number in range(count))
    )
    size = bytes(len(entries) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return frame * 10 + b"ID3\3\0\0" + size + entries + frame * 10


def progressive_jpeg(width: int, height: int, scans: int) -> bytes:
    """A grey progressive JPEG; each scan refines nothing of any block."""
    from tests.face.pictures import many_scans

    return many_scans(width, height, scans)


def bmp_of_runs(size: int) -> bytes:
    """A BMP of 256 colours, coded as runs of one pixel, of this many bytes."""
    width = min(8000, size // 80)
    height = size // (2 * width + 2)
    runs = (b"\1\0" * width + b"\0\0") * height
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(runs), 0, 0, 54 + 1024) + head + bytes(1024) + runs


def png_of_empty_blocks(size: int) -> bytes:
    """A PNG whose data begin with empty deflate blocks."""
    from tests.face.pictures import png_chunk

    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(64 * (64 * 3 + 1)))
    empty = b"\0\0\0\xff\xff" * (size // 5)
    body = pixels[:2] + empty + pixels[2:]
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


SPEECH: dict[str, Callable[[], bytes]] = {
    "FLAC, 600 s of silence, 384 kHz, 8 channels": lambda: flac_of_silence(384_000, 8, 599),
    "FLAC, the same without a stated length": lambda: of_unknown_length(flac_of_silence(384_000, 8, 599)),
    "FLAC, 100 000 tags": lambda: flac_of_tags(100_000),
    "Ogg Opus, 100 000 tags": lambda: ogg_of_tags(100_000),
    "Ogg, 2 million empty pages": lambda: ogg_of_pages(2_000_000),
    "Matroska, 400 000 packets of a sample": lambda: matroska_of_packets(400_000),
    "Matroska, 60 000 tags": lambda: matroska_of_tags(60_000),
    "MP4, 60 000 tags": lambda: mp4_of_tags(60_000),
    "MP4, 100 000 edits": lambda: mp4_of_edits(100_000),
    "MP4, 100 000 runs": lambda: mp4_of_runs(100_000),
    "MP4, 5 million boxes": lambda: mp4_of_boxes(5_000_000),
    "AAC, 60 000 tags between frames": lambda: aac_of_tags(60_000),
}
PORTRAITS: dict[str, Callable[[], bytes]] = {
    "JPEG, 65 megapixels in 200 scans": lambda: progressive_jpeg(8000, 8000, 199),
    "JPEG, 6 megapixels in 200 scans": lambda: progressive_jpeg(3000, 2000, 199),
    "BMP, 30 million runs": lambda: bmp_of_runs(60_000_000),
    "PNG, 12 million empty deflate blocks": lambda: png_of_empty_blocks(60_000_000),
}
_PROGRAM = """
import resource, sys, time
from pathlib import Path
from shared.messages.codes import Rejected
path, kind = Path(sys.argv[1]), sys.argv[2]
if kind == "speech":
    from stages.audio.decode import decode
    work = lambda: decode(path, path.with_suffix(".f32"), 600, lambda: None)
else:
    from stages.face.decode import decode_portrait
    work = lambda: decode_portrait(path)
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[3]),) * 2)
start = time.process_time()
end = "accepted"
try:
    work()
except Rejected as e:
    end = f"{e.code}: {e.message}"
print(f"{time.process_time() - start:.2f} s  {end}")
"""


def measure(path: Path, kind: str) -> str:
    """CPU seconds and end of the decoding of a file, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path), kind, str(LIMIT_S)], capture_output=True, text=True
    )
    return ran.stdout.strip() or f"over {LIMIT_S} s ({ran.returncode}) {ran.stderr.strip()[-200:]}"


def main(wanted: Iterable[str]) -> None:
    """Measure the files whose names contain one of the words."""
    words = list(wanted)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        for kind, files in (("speech", SPEECH), ("portrait", PORTRAITS)):
            for name, build in files.items():
                if words and not any(word in name for word in words):
                    continue
                path.write_bytes(build())
                print(f"{name:<46} {path.stat().st_size / 1e6:6.2f} MB  {measure(path, kind)}", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(sys.argv[1:])
