"""Files that are not accepted are named, with what to convert them to."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from tests.audio.tones import record, tone


def refused(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "speech.wav"
    path.write_bytes(data)
    with pytest.raises(Rejected) as caught:
        decode(path, tmp_path / "sound.f32", 600, lambda: None)
    assert caught.value.code is Code.AUDIO_UNREADABLE
    assert caught.value.field == "speech"
    assert "webm" in (caught.value.allowed or "")
    return caught.value.message


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"MThd\0\0\0\6\0\1\0\2\1\xe0MTrk", "MIDI"),
        (b"MAC \x96\x0f", "Monkey's Audio"),
        (b"DSD \x1c\0\0\0\0\0\0\0", "DSD"),
        (b"FRM8\0\0\0\0\0\0\0\0DSD ", "DSD"),
        (b"MPCKSH", "Musepack"),
        (b"OFR \x0c", "OptimFROG"),
        (b".RMF\0\0\0\x12", "RealMedia"),
        (b"ADIF\0", "ADIF"),
        (b"\x7f\xfe\x80\x01", "DTS"),
        (b"RIFF\xff\xff\0\0AVI LIST", "AVI"),
        (b"\0\0\1\xba\x44", "MPG"),
    ],
)
def test_recording_is_named_with_what_to_convert_it_to(tmp_path: Path, head: bytes, name: str) -> None:
    message = refused(tmp_path, head + bytes(5000))
    assert name in message
    assert "Convert it to FLAC, MP3 or 16-bit WAV." in message


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG picture"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG picture"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP picture"),
        (b"GIF89a", "GIF picture"),
        (b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "BMP picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC picture"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF picture"),
    ],
)
def test_picture_is_named_with_the_likely_mistake(tmp_path: Path, head: bytes, name: str) -> None:
    message = refused(tmp_path, head + bytes(5000))
    assert f"{name}, not a recording" in message
    assert "swapped" in message


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04\x14\0", "ZIP"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "playlist"),
        (b"\n<!DOCTYPE html><html><title>Not found</title>", "web page"),
    ],
)
def test_other_file_is_named(tmp_path: Path, head: bytes, name: str) -> None:
    message = refused(tmp_path, head + bytes(5000))
    assert name in message
    assert message.endswith("not a recording.")


def test_later_part_of_a_recording_of_a_browser_is_named(tmp_path: Path) -> None:
    """Recorders deliver parts; only the first has a header."""
    part = b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\0"
    assert "join it to the first part" in refused(tmp_path, part + bytes(5000))


@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "name"),
    [
        ("asf", "wmav2", "fltp", "WMA"),
        ("ac3", "ac3", "fltp", "Dolby Digital"),
        ("mp2", "mp2", "s16", "MP2"),
        ("wv", "wavpack", "s16p", "WavPack"),
        ("tta", "tta", "s16", "True Audio"),
        ("caf", "alac", "s16p", "CAF"),
        ("w64", "pcm_s16le", "s16", "Wave64"),
        ("voc", "pcm_s16le", "s16", "VOC"),
        ("mpegts", "aac", "fltp", "MPEG transport stream"),
        ("flv", "aac", "fltp", "Flash"),
        ("avi", "libmp3lame", "fltp", "AVI"),
    ],
)
def test_encoded_file_is_named(tmp_path: Path, container: str, codec: str, sample_format: str, name: str) -> None:
    path = record(
        tmp_path / "x",
        tone(44_100, 2.0),
        44_100,
        container=container,
        codec=codec,
        sample_format=sample_format,
        options={"b": "128000"},
    )
    assert name in refused(tmp_path, path.read_bytes())


def test_speex_in_ogg_is_named(tmp_path: Path) -> None:
    """No encoder is at hand: a Speex header in one Ogg page, and an empty page."""
    header = b"Speex   " + b"1.2".ljust(20, b"\0") + struct.pack("<13i", 1, 80, 16_000, 1, 4, 1, -1, 320, 0, 1, 0, 0, 0)
    pages = [page(header, 0, 2), page(b"\0\0\0\0\0\0\0\0", 1, 0), page(bytes(60), 2, 4)]
    assert "peex" in refused(tmp_path, b"".join(pages))


def page(packet: bytes, number: int, flags: int) -> bytes:
    """An Ogg page of one packet."""
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, 0 if number < 2 else 320, 1, number, 0)
    data = head + bytes([1, len(packet)]) + packet
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return data[:22] + struct.pack("<I", crc) + data[26:]


@pytest.mark.parametrize("container", ["mp4", "matroska", "webm"])
def test_video_without_sound_is_named(tmp_path: Path, container: str) -> None:
    path = tmp_path / "silent"
    with av.open(str(path), "w", format=container) as file:
        video = file.add_stream("libvpx" if container == "webm" else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        file.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), "yuv420p")))
        file.mux(video.encode(None))
    assert "pictures but no audio track" in refused(tmp_path, path.read_bytes())
