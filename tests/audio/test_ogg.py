"""Ogg files of which pages are missing, and those that only look so."""

import struct
from pathlib import Path

import pytest

from shared.messages.codes import Rejected
from stages.audio.decode import decode
from stages.audio.ogg import ogg_is_cut
from tests.audio.tones import record, tone

SECONDS = 10.0


@pytest.fixture(scope="module", params=[("libopus", "flt"), ("vorbis", "fltp"), ("flac", "s16")])
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    codec, sample_format = request.param
    path = tmp_path_factory.mktemp("ogg") / "x"
    channels, options = (2, {"strict": "-2"}) if codec == "vorbis" else (1, None)
    samples = tone(48_000, SECONDS, channels)
    return record(
        path, samples, 48_000, container="ogg", codec=codec, sample_format=sample_format, options=options
    ).read_bytes()


def pages(data: bytes) -> list[bytes]:
    begins = [at for at in range(len(data)) if data.startswith(b"OggS\0", at)]
    return [data[begin:end] for begin, end in zip(begins, [*begins[1:], len(data)], strict=True)]


def without_end(data: bytes) -> bytes:
    """The same pages without the flag that ends the stream; checksums are not checked by libav."""
    last = pages(data)[-1]
    return data[: -len(last)] + last[:5] + bytes([last[5] & ~4]) + last[6:]


def is_cut(tmp_path: Path, data: bytes) -> bool:
    path = tmp_path / "speech"
    path.write_bytes(data)
    with path.open("rb") as file:
        return ogg_is_cut(file, 0, len(data))


@pytest.mark.parametrize(("begin", "end"), [(0.5, 1.0), (0.4, 0.7)])
def test_zeros_in_place_of_sound_are_refused(tmp_path: Path, recording: bytes, begin: float, end: float) -> None:
    """An interrupted download, a damaged disk: libav continues behind the zeros, or ends, without an error."""
    first, last = int(len(recording) * begin), int(len(recording) * end)
    path = tmp_path / "speech"
    path.write_bytes(recording[:first] + bytes(last - first) + recording[last:])
    with pytest.raises(Rejected, match="is missing"):
        decode(path, tmp_path / "sound.f32", 600, lambda: None)


def test_missing_page_is_noticed(tmp_path: Path, recording: bytes) -> None:
    parts = pages(recording)
    assert is_cut(tmp_path, b"".join(parts[:4] + parts[5:]))


def test_whole_files_are_not_cut(tmp_path: Path, recording: bytes) -> None:
    junk = bytes(range(1, 200)) * 400
    assert not is_cut(tmp_path, recording)
    assert not is_cut(tmp_path, recording + junk)
    assert not is_cut(tmp_path, recording + bytes(100_000))
    assert not is_cut(tmp_path, without_end(recording))
    assert not is_cut(tmp_path, without_end(recording) + b"TAG" + bytes(125))
    assert not is_cut(tmp_path, recording + recording)
    parts = pages(recording)
    assert not is_cut(tmp_path, b"".join(parts[:4]) + junk + b"".join(parts[4:]))


def test_page_that_ends_early_is_noticed(tmp_path: Path, recording: bytes) -> None:
    for lost in (1, len(pages(recording)[-1]) - 5, len(pages(recording)[-1]) - 30):
        assert is_cut(tmp_path, recording[:-lost])
    assert is_cut(tmp_path, without_end(recording) + bytes(1000))


def test_stream_of_a_radio_server_is_not_cut(tmp_path: Path) -> None:
    """Headers, then the pages of the moment at which the listener came."""
    numbers = [(0, 2, 0), (1, 0, -1), (2, 0, 0), (4711, 0, 960_000), (4712, 0, 1_008_000)]

    def stream(*rows: tuple[int, int, int]) -> bytes:
        return b"".join(
            struct.pack("<4sBBqIIIBB", b"OggS", 0, flags, position, 7, number, 0, 1, 50) + bytes(50)
            for number, flags, position in rows
        )

    assert not is_cut(tmp_path, stream(*numbers))
    assert is_cut(tmp_path, stream(*numbers, (4714, 0, 1_104_000)))
