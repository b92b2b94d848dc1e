"""Container detection by content."""

from pathlib import Path

import pytest

from shared.messages.codes import Code, Rejected
from stages.audio.channels import downmix_matrix
from stages.audio.mpeg_frames import first_mp3, mp3_frame
from stages.audio.sniff import sniff
from tests.audio.tones import record, tone


@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "demuxer", "states_length"),
    [
        ("wav", "pcm_s16le", "s16", "s16le", False),
        ("flac", "flac", "s16", "flac", True),
        ("mp3", "libmp3lame", "fltp", "mp3", True),
        ("adts", "aac", "fltp", "aac", False),
        ("ipod", "aac", "fltp", "mp4", True),
        ("ogg", "libopus", "flt", "ogg", False),
        ("webm", "libopus", "flt", "matroska", False),
        ("matroska", "flac", "s16", "matroska", False),
        ("aiff", "pcm_s16be", "s16", "s16be", False),
        ("au", "pcm_mulaw", "s16", "mulaw", False),
        ("mov", "alac", "s16p", "mp4", True),
    ],
)
def test_container_is_detected_by_content(
    tmp_path: Path, container: str, codec: str, sample_format: str, demuxer: str, states_length: bool
) -> None:
    path = record(
        tmp_path / "portrait.png",
        tone(48_000, 1.0),
        48_000,
        container=container,
        codec=codec,
        sample_format=sample_format,
    )
    result = sniff(path)
    assert (result.demuxer, result.missing) == (demuxer, 0.0)
    assert (result.states_length or result.stated_s is not None) == states_length


def test_mp3_after_tags_and_filler_is_detected(tmp_path: Path) -> None:
    path = record(
        tmp_path / "x",
        tone(44_100, 1.0),
        44_100,
        container="mp3",
        codec="libmp3lame",
        sample_format="fltp",
        options={"write_id3v2": "0"},
    )
    tag = b"ID3\x03\x00\x00\x00\x00\x01\x00" + bytes(128)
    data = path.read_bytes()
    frames = data[first_mp3(data) :]
    path.write_bytes(tag + tag + bytes(300) + frames)
    assert sniff(path).demuxer == "mp3"


def test_single_sync_word_is_not_an_mp3() -> None:
    assert mp3_frame(b"\xff\xfb\x90\x00") is not None
    assert first_mp3(b"\xff\xfb\x90\x00" + bytes(2000)) is None


def test_mp3_header_fields_are_read() -> None:
    frame = mp3_frame(b"\xff\xfb\x90\xc0")  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono
    assert frame is not None
    assert (frame.rate, frame.samples, frame.length, frame.side_info) == (44_100, 1152, 417, 21)
    frame = mp3_frame(b"\xff\xf3\x40\xc0")  # MPEG-2, 32 kbit/s, 22.05 kHz
    assert frame is not None
    assert (frame.rate, frame.samples, frame.length, frame.side_info) == (22_050, 576, 104, 13)


def test_mp3_length_is_read_from_its_tag(tmp_path: Path) -> None:
    path = record(tmp_path / "x", tone(44_100, 5.0), 44_100, container="mp3", codec="libmp3lame", sample_format="fltp")
    assert sniff(path).stated_s == pytest.approx(5.0, abs=0.06)


def test_rejection_lists_the_allowed_formats(tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"plain words")
    with pytest.raises(Rejected) as caught:
        sniff(path)
    assert caught.value.code is Code.AUDIO_UNREADABLE
    assert "flac" in (caught.value.allowed or "")


def test_downmix_weights() -> None:
    assert downmix_matrix(["FC"]).tolist() == [[1.0]]
    assert downmix_matrix(["FL", "FR"]).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    surround = downmix_matrix(["FL", "FR", "FC", "LFE", "BL", "BR"])
    assert surround[:, 3].tolist() == [0.0, 0.0]
    assert surround.sum(axis=1).tolist() == pytest.approx([1.0, 1.0])
    assert surround[0, 2] == surround[1, 2] > 0
    assert surround[0, 1] == surround[1, 0] == 0
