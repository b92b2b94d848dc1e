"""Small recordings that would take minutes to decode: refused by their structure, before or while they are decoded."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from shared.messages.codes import Code, Rejected
from stages.audio import blocks, cost, decode
from tests import costly_files as costly
from tests.audio.tones import record, tone


def rejection(tmp_path: Path, data: bytes, max_s: float = 600) -> Rejected:
    path = tmp_path / "speech"
    path.write_bytes(data)
    with pytest.raises(Rejected) as caught:
        decode.decode(path, tmp_path / "sound.f32", max_s, lambda: None)
    return caught.value


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: costly.flac_of_tags(10_001), "tags"),
        (lambda: costly.ogg_of_tags(10_001), "tags"),
        (lambda: costly.ogg_of_pages(200_000), "pages"),
        (lambda: costly.matroska_of_tags(20_000), "tags and chapters"),
        (lambda: costly.mp4_of_tags(5001), "tags"),
        (lambda: costly.mp4_of_edits(1001), "edits"),
        (lambda: costly.mp4_of_runs(50_001), "runs"),
        (lambda: costly.mp4_of_boxes(60_000), "parts"),
        (lambda: costly.aac_of_tags(20_000), "between its frames"),
    ],
    ids=[
        "flac-tags",
        "ogg-tags",
        "ogg-pages",
        "mka-tags",
        "mp4-tags",
        "mp4-edits",
        "mp4-runs",
        "mp4-boxes",
        "aac-tags",
    ],
)
def test_structure_of_too_many_parts_is_refused_before_libav_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: Callable[[], bytes], what: str
) -> None:
    monkeypatch.setattr(av, "open", lambda *_, **__: pytest.fail("libav opens the file"))
    rejected = rejection(tmp_path, build())
    assert (rejected.code, rejected.field) == (Code.AUDIO_UNREADABLE, "speech")
    assert what in rejected.message


def test_dense_samples_are_refused_by_the_stated_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "blocks", lambda *_, **__: pytest.fail("samples are decoded"))
    rejected = rejection(tmp_path, costly.flac_of_silence(384_000, 8, 100))
    assert (rejected.code, rejected.field) == (Code.AUDIO_TOO_LONG, "speech")
    assert rejected.allowed == "0.2..78 s at 384000 Hz with 8 channels"


def test_dense_samples_without_a_stated_length_stop_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "MAX_VALUES", 3 * 8 * 48_000)
    rejected = rejection(tmp_path, costly.of_unknown_length(costly.flac_of_silence(48_000, 8, 20)))
    assert (rejected.code, rejected.allowed) == (Code.AUDIO_TOO_LONG, "0.2..3 s at 48000 Hz with 8 channels")
    assert (tmp_path / "sound.f32").stat().st_size < 5 * 48_000 * 2 * 4


def test_usual_dense_recordings_of_the_longest_speech_are_within_the_limit() -> None:
    for rate, channels, seconds in ((48_000, 2, 1800), (96_000, 2, 1200), (192_000, 2, 600), (48_000, 8, 600)):
        assert cost.longest_s(rate, channels) >= seconds


@pytest.mark.parametrize("limit", ["MAX_PACKETS", "MAX_ALL_PACKETS"])
def test_packets_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(blocks, limit, 5000)
    assert "packets" in rejection(tmp_path, costly.matroska_of_packets(5001)).message
    path = tmp_path / "speech"
    path.write_bytes(costly.matroska_of_packets(4900))
    assert decode.decode(path, tmp_path / "sound.f32", 600, lambda: None).duration_s == pytest.approx(4900 / 16_000)


@pytest.mark.parametrize(
    ("container", "codec", "form"), [("ipod", "aac", "fltp"), ("flac", "flac", "s16"), ("ogg", "libopus", "flt")]
)
def test_recording_with_usual_tags_is_accepted(tmp_path: Path, container: str, codec: str, form: str) -> None:
    plain = record(tmp_path / "plain", tone(48_000, 1.0), 48_000, container=container, codec=codec, sample_format=form)
    tagged = tmp_path / "tagged"
    with av.open(str(plain)) as source, av.open(str(tagged), "w", format=container) as target:
        target.metadata.update({"title": "Speech", "artist": "A", "comment": "x=y " * 1000, "album": "B"})
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    speech = decode.decode(tagged, tmp_path / "sound.f32", 600, lambda: None)
    assert speech.duration_s == pytest.approx(1.0, abs=0.05)
    assert np.abs(speech.pcm).max() > 0.1
