"""Hostile files: a decompression bomb and thousands of mutations."""

import random
import subprocess
import sys
from pathlib import Path

import av
import numpy as np

from shared.messages.codes import Code, Rejected
from stages.audio.decode import decode
from tests.audio.tones import record, tone

RATE = 16_000


def test_ten_hours_of_zeros_in_a_small_flac_stop_at_the_limit(tmp_path: Path) -> None:
    """A bomb: 10 h at 8 kHz in well under a megabyte. Decoded in a process of its own to see its true peak."""
    path = tmp_path / "bomb.flac"
    with av.open(str(path), "w", format="flac") as file:
        stream = file.add_stream("flac", rate=8000, layout="mono")
        stream.codec_context.options = {"frame_size": "65535"}
        block = np.zeros((1, 65_535), np.int16)
        for i in range(10 * 3600 * 8000 // 65_535):
            frame = av.AudioFrame.from_ndarray(block, "s16", "mono")
            frame.sample_rate, frame.pts = 8000, i * 65_535
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert path.stat().st_size < 1_000_000
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from shared.messages.codes import Rejected; from stages.audio.decode import decode\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: decode(Path(sys.argv[1]), Path(sys.argv[2]), 600, lambda: None)\n"
        "except Rejected as e: print(e.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, str(path), str(tmp_path / "sound.f32")],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    ).stdout.split()
    assert out[0] == Code.AUDIO_TOO_LONG
    assert int(out[1]) < 150_000  # KiB
    # It stopped at the limit: no more than 600 s were written.
    assert (tmp_path / "sound.f32").stat().st_size <= 600 * 48_000 * 4


def test_mutated_files_are_rejected_or_decoded(tmp_path: Path) -> None:
    """Flipped bytes and cuts in every format: nothing but Rejected ever escapes."""
    rng = random.Random(7)
    recordings = [
        record(
            tmp_path / f"{container}-{codec}.src",
            tone(rate, 0.6),
            rate,
            container=container,
            codec=codec,
            sample_format=form,
            options={"b": "12200"} if codec.endswith("amrnb") else None,
            container_options={"live": "1"} if codec == "libopus" and container == "webm" else None,
        )
        for container, codec, form, rate in (
            ("wav", "pcm_s16le", "s16", RATE),
            ("mp3", "libmp3lame", "fltp", RATE),
            ("ipod", "aac", "fltp", RATE),
            ("ogg", "libopus", "flt", RATE),
            ("flac", "flac", "s16", RATE),
            ("wav", "pcm_mulaw", "s16", RATE),
            ("aiff", "pcm_s24be", "s32", RATE),
            ("au", "pcm_s16be", "s16", RATE),
            ("ipod", "alac", "s16p", RATE),
            ("webm", "libopus", "flt", 48_000),
            ("matroska", "aac", "fltp", RATE),
            ("matroska", "flac", "s16", RATE),
            ("matroska", "alac", "s16p", RATE),
            ("3gp", "libopencore_amrnb", "s16", 8000),
            ("amr", "libopencore_amrnb", "s16", 8000),
        )
        if codec in av.codecs_available
    ]
    endings: dict[str, int] = {}
    for i in range(750):
        data = bytearray(recordings[i % len(recordings)].read_bytes())
        for _ in range(rng.randint(1, 12)):
            data[rng.randrange(min(len(data), 400)) if rng.random() < 0.5 else rng.randrange(len(data))] = (
                rng.randrange(256)
            )
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        try:
            (tmp_path / "speech").write_bytes(data)
            decode(tmp_path / "speech", tmp_path / "sound.f32", 600, lambda: None)
            ending = "sound"
        except Rejected as e:
            ending = e.code.value
        endings[ending] = endings.get(ending, 0) + 1
    assert set(endings) >= {"sound", Code.AUDIO_UNREADABLE}
