"""A full render has the same bytes with confinement and without."""

from pathlib import Path

from bench.worker_render import Workers
from shared.slot.confinement.confine import Mode

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def test_render_has_the_same_bytes_with_and_without_confinement(tmp_path: Path) -> None:
    videos = []
    modes: tuple[Mode, ...] = ("auto", "off")
    for mode in modes:
        workers = Workers(tmp_path, mode)
        try:
            video = tmp_path / f"{mode}.mp4"
            workers.render(SAMPLES / "portrait.png", SAMPLES / "speech.wav", 256, video)
            videos.append(video.read_bytes())
        finally:
            workers.close()
    assert len(videos[0]) > 10_000
    assert videos[0] == videos[1]
    left = [path.name for path in tmp_path.iterdir() if path.name.startswith("worker-") and "files" not in path.name]
    assert left == [], "the folders of ended worker processes are deleted"
