"""MP4: edit lists, and files that end inside their index or a fragment."""

import struct
from pathlib import Path

import pytest

from shared.messages.codes import Rejected
from stages.audio.decode import decode
from tests.audio.tones import click, peak_s, record, tone


def assert_truncated(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cut"
    path.write_bytes(data)
    with pytest.raises(Rejected, match=r"The speech file is truncated or damaged: a part of it is missing\."):
        decode(path, tmp_path / "sound.f32", 600, lambda: None)


@pytest.mark.parametrize(("codec", "form", "priming"), [("aac", "fltp", 1024), ("alac", "s16p", 0)])
@pytest.mark.parametrize("skipped_s", [0.0, 0.5])
@pytest.mark.parametrize("cut_s", [0.0, 0.75])
def test_edit_list_of_an_mp4_is_obeyed(
    tmp_path: Path, codec: str, form: str, priming: int, skipped_s: float, cut_s: float
) -> None:
    """A phone that trims a recording writes where it begins and ends, and leaves the samples."""
    path = record(tmp_path / "x", click(48_000, 3.0, 1.5), 48_000, container="ipod", codec=codec, sample_format=form)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    (scale,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)  # units a second; 1000, or the sample rate
    assert struct.unpack_from(">Ii", data, at) == (3 * scale, priming)
    length_s = 3.0 - skipped_s - cut_s
    struct.pack_into(">Ii", data, at, round(length_s * scale), priming + round(skipped_s * 48_000))
    path.write_bytes(data)
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    assert speech.duration_s == pytest.approx(length_s, abs=0.001)
    assert peak_s(speech.pcm, 16_000) == pytest.approx(1.5 - skipped_s, abs=0.002)


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.97])
def test_mp4_without_its_whole_index_is_truncated(tmp_path: Path, kept: float) -> None:
    path = record(tmp_path / "x", tone(48_000, 1.0), 48_000, container="mp4", codec="aac", sample_format="fltp")
    data = path.read_bytes()
    assert_truncated(tmp_path, data[: int(len(data) * kept)])


def test_fragmented_mp4_that_ends_inside_a_fragment_is_truncated(tmp_path: Path) -> None:
    path = record(
        tmp_path / "x",
        tone(48_000, 3.0),
        48_000,
        container="mp4",
        codec="aac",
        sample_format="fltp",
        container_options={"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "200000"},
    )
    data = path.read_bytes()
    last = data.rindex(b"mdat")
    for cut in (last + 20, data.rindex(b"moof") + 20):
        assert_truncated(tmp_path, data[:cut])


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "500000"}


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


@pytest.mark.parametrize("options", [{}, FRAGMENTED], ids=["whole", "fragmented"])
@pytest.mark.parametrize(
    "front",
    [
        box(b"free", b""),
        box(b"skip", bytes(8)),
        box(b"uuid", bytes(range(40))),
        box(b"styp", b"msdh\0\0\0\0msdhmsix"),
        box(b"free", b"") + box(b"wide", b""),
        struct.pack(">I4sQ", 1, b"free", 20) + bytes(4),
    ],
    ids=["free", "skip", "uuid", "styp", "two boxes", "long size"],
)
def test_other_boxes_may_precede_the_type(tmp_path: Path, front: bytes, options: dict[str, str]) -> None:
    path = record(
        tmp_path / "x",
        tone(48_000, 2.0),
        48_000,
        container="mp4",
        codec="aac",
        sample_format="fltp",
        container_options=options,
    )
    data = bytearray(path.read_bytes())
    if not options:  # The places of the samples are counted from the start of the file.
        at = data.index(b"stco") + 8
        for entry in range(at + 4, at + 4 + 4 * struct.unpack_from(">I", data, at)[0], 4):
            struct.pack_into(">I", data, entry, struct.unpack_from(">I", data, entry)[0] + len(front))
    path.write_bytes(front + data)
    speech = decode(path, tmp_path / "sound.f32", 600, lambda: None)
    assert speech.duration_s == pytest.approx(2.0, abs=0.03)


@pytest.mark.parametrize("front", [box(b"free", b""), box(b"free", bytes(5000)), b"\0\0\0\0free", b"\0\0\0\1skip"])
def test_name_of_a_box_alone_is_no_mp4(tmp_path: Path, front: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(front + b"plain words " * 500)
    with pytest.raises(Rejected, match="not an audio file of a known format"):
        decode(path, tmp_path / "sound.f32", 600, lambda: None)
