"""Matroska and WebM as hostile and as damaged files."""

from pathlib import Path

import pytest

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from tests.audio.tones import record, tone

SEGMENT, INFO, TRACKS, CLUSTER = (bytes.fromhex(x) for x in ("18538067", "1549a966", "1654ae6b", "1f43b675"))
UNKNOWN = b"\x01" + b"\xff" * 7
MIB = 1024 * 1024


def element(name: str, content: bytes) -> bytes:
    return bytes.fromhex(name) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def live(head: bytes, recording: bytes) -> bytes:
    """The header, tracks and clusters of a recording in a segment of unknown size; ``head`` comes before the tracks."""
    tracks = recording[recording.index(TRACKS, recording.index(INFO, recording.index(INFO) + 1)) :]
    return recording[: recording.index(SEGMENT)] + SEGMENT + UNKNOWN + head + tracks


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("matroska") / "x"
    return record(
        path,
        tone(48_000, 2.0),
        48_000,
        container="webm",
        codec="libopus",
        sample_format="flt",
        container_options={"live": "1"},
    ).read_bytes()


def outcome(tmp_path: Path, data: bytes) -> float | tuple[Code, str]:
    """The decoded length in seconds, or the rejection."""
    path = tmp_path / "speech"
    path.write_bytes(data)
    try:
        return decode(path, tmp_path / "sound.f32", 600, lambda: None).duration_s
    except Rejected as e:
        return e.code, e.message


def test_attachments_and_tags_of_usual_size_are_skipped(tmp_path: Path, recording: bytes) -> None:
    font = element("61a7", element("466e", b"a.ttf") + element("465c", bytes(3 * MIB)))
    assert outcome(tmp_path, live(element("1941a469", font), recording)) == pytest.approx(2.0, abs=0.01)
    assert outcome(tmp_path, live(element("ec", bytes(40 * MIB)), recording)) == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("1941a469", b"\x61\xa7\x80"),  # attachments
        ("1043a770", b"\x45\xb9\x80"),  # chapters
        ("1254c367", b"\x73\x73\x80"),  # tags
        ("1c53bb6b", b"\xbb\x80"),  # cues
        ("1654ae6b", b"\xae\x80"),  # tracks
    ],
)
def test_millions_of_tiny_elements_are_refused_before_they_take_memory(
    tmp_path: Path, recording: bytes, parent: str, child: bytes
) -> None:
    result = outcome(tmp_path, live(element(parent, child * (17 * MIB // len(child))), recording))
    assert isinstance(result, tuple)
    assert result[0] is Code.AUDIO_UNREADABLE
    assert ("256 KiB" if parent in ("1043a770", "1254c367") else "16 MiB") in result[1]


@pytest.mark.parametrize("child", [b"\xec\x80", CLUSTER + b"\xff"], ids=["voids", "clusters"])
def test_number_of_elements_is_limited(tmp_path: Path, recording: bytes, child: bytes) -> None:
    result = outcome(tmp_path, live(child * 600_000, recording))
    assert result == (Code.AUDIO_UNREADABLE, "The speech file has too many parts.")


def test_sound_is_found_among_thousands_of_tracks(tmp_path: Path, recording: bytes) -> None:
    begin = recording.index(TRACKS, recording.index(INFO, recording.index(INFO) + 1)) + 4
    width = 9 - recording[begin].bit_length()
    length = int.from_bytes(recording[begin : begin + width], "big") & (1 << 7 * width) - 1
    entry, rest = recording[begin + width : begin + width + length], recording[begin + width + length :]
    start = recording[: recording.index(SEGMENT)] + SEGMENT + UNKNOWN
    result = outcome(tmp_path, start + element("1654ae6b", entry * 20_000) + rest)
    assert result == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("nested", [b"\xb6\xff", b"\x45\xb9\xff", b"\xb6" + UNKNOWN])
def test_elements_that_contain_themselves_without_end_are_skipped_or_refused(
    tmp_path: Path, recording: bytes, nested: bytes
) -> None:
    result = outcome(tmp_path, live(element("1043a770", nested * 100_000), recording))
    assert isinstance(result, tuple) or result == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("size", [b"\xff", UNKNOWN, (1 << 56 | 1 << 50).to_bytes(8, "big")])
def test_element_of_impossible_size_is_refused(tmp_path: Path, recording: bytes, size: bytes) -> None:
    """Neither tags of unknown size nor tags of a petabyte."""
    result = outcome(tmp_path, live(bytes.fromhex("1254c367") + size, recording))
    assert isinstance(result, tuple)
    assert result[0] is Code.AUDIO_UNREADABLE


@pytest.mark.parametrize("kind", [b"\x42\x82\x84anim", b"\x42\x82\x84\0\0\0\0"])
def test_other_ebml_is_refused(tmp_path: Path, recording: bytes, kind: bytes) -> None:
    result = outcome(tmp_path, recording.replace(b"\x42\x82\x84webm", kind))
    assert result == (Code.AUDIO_UNREADABLE, "The speech file is an EBML file of an unknown kind.")


@pytest.mark.parametrize("lost", [1, 30])
def test_live_recording_that_ends_inside_a_block_is_truncated(tmp_path: Path, recording: bytes, lost: int) -> None:
    result = outcome(tmp_path, live(b"", recording)[:-lost])
    assert isinstance(result, tuple)
    assert "truncated" in result[1]


def test_indexed_recording_may_lose_its_index_but_no_sound(tmp_path: Path) -> None:
    """A segment of known size: what is missing is a share of it."""
    path = record(
        tmp_path / "x",
        tone(48_000, 4.0),
        48_000,
        container="webm",
        codec="libopus",
        sample_format="flt",
        container_options={"cluster_time_limit": "500"},
    )
    data = path.read_bytes()
    assert outcome(tmp_path, data[:-5]) == pytest.approx(4.0, abs=0.01)
    result = outcome(tmp_path, data[: data.index(CLUSTER, len(data) // 2)])
    assert isinstance(result, tuple)
    assert "truncated" in result[1]


def zeroed(data: bytes, begin: float, end: float) -> bytes:
    """The data with zeros from one share of its length to another."""
    first, last = int(len(data) * begin), int(len(data) * end)
    return data[:first] + bytes(last - first) + data[last:]


@pytest.mark.parametrize("options", [{}, {"live": "1"}], ids=["indexed", "live"])
@pytest.mark.parametrize(
    ("container", "codec", "sample_format"),
    [("webm", "libopus", "flt"), ("matroska", "libmp3lame", "fltp"), ("matroska", "pcm_s16le", "s16")],
)
def test_zeros_in_place_of_sound_are_refused(
    tmp_path: Path, container: str, codec: str, sample_format: str, options: dict[str, str]
) -> None:
    """An interrupted download, a damaged disk: libav continues behind the zeros, or ends, without an error."""
    path = record(
        tmp_path / "x",
        tone(48_000, 10.0),
        48_000,
        container=container,
        codec=codec,
        sample_format=sample_format,
        container_options=options,
    )
    data = path.read_bytes()
    assert outcome(tmp_path, data) == pytest.approx(10.0, abs=0.03)
    for begin, end in ((0.5, 1.0), (0.4, 0.7)):
        result = outcome(tmp_path, zeroed(data, begin, end))
        assert isinstance(result, tuple)
        assert "is missing" in result[1]


@pytest.mark.parametrize("options", [{}, {"live": "1"}], ids=["indexed", "live"])
def test_one_damaged_byte_that_hides_a_cluster_is_refused(tmp_path: Path, options: dict[str, str]) -> None:
    path = record(
        tmp_path / "x",
        tone(48_000, 20.0),
        48_000,
        container="webm",
        codec="libopus",
        sample_format="flt",
        container_options=options,
    )
    data = bytearray(path.read_bytes())
    data[data.index(CLUSTER, data.index(CLUSTER) + 4)] = 0
    result = outcome(tmp_path, bytes(data))
    assert isinstance(result, tuple)
    assert "is missing" in result[1]


@pytest.mark.parametrize("behind", [bytes(5000), b"TAG" + bytes(125)], ids=["zeros", "tag"])
def test_what_follows_a_segment_of_known_size_is_ignored(tmp_path: Path, behind: bytes) -> None:
    path = record(tmp_path / "x", tone(48_000, 2.0), 48_000, container="webm", codec="libopus", sample_format="flt")
    assert outcome(tmp_path, path.read_bytes() + behind) == pytest.approx(2.0, abs=0.01)


def test_size_of_the_doctype_may_take_more_bytes_than_needed(tmp_path: Path, recording: bytes) -> None:
    header = element("4282", b"webm\0")
    data = element("1a45dfa3", header) + recording[recording.index(SEGMENT) :]
    assert outcome(tmp_path, data) == pytest.approx(2.0, abs=0.01)
