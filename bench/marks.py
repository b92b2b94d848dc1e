"""What the marks of a video cost: CPU of the encode stage's writer with each of them against without.

``python -m bench.marks [--seconds 10] [--width 512] [--height 512] [--rounds 7] [--json FILE]``. All arms write the
same frames and sound, in turns forwards and backwards, so that load on the machine affects them alike. The signature is
made in this process; between service and worker two small records are added.
"""

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.encode import CODING, cost, hum, talking
from bench.record import emit
from shared.local import signing_certificate
from shared.runtime.execute.claim_signer import ClaimSigner
from shared.slot.marking import LABEL_TEXTS, Label, Marking
from stages.encode.labels import labels
from stages.encode.mp4 import Frames, Mp4Writer, Sound
from stages.encode.provenance.aigc import aigc_field
from stages.encode.provenance.manifest import embed_manifest
from stages.encode.provenance.visible_label import VisibleLabel

MANIFEST = "urn:c2pa:6b1b36f5-0d2a-4bb1-9d2a-1c7a4c3e2f10"


def write(marking: Marking, signer: ClaimSigner, path: Path, frames: Frames, sound: Sound) -> None:
    """As the handler does it."""
    height, width = frames.shape[1] * 2 // 3, frames.shape[2]
    aigc = None if marking.producer is None else aigc_field(marking.producer, "job")
    label = None if marking.label is None else VisibleLabel(marking.label, width, height)
    unsigned = path if marking.signing is None else path.with_suffix(".unsigned")
    with Mp4Writer(unsigned, width, height, sound, labels("puppet", aigc), CODING) as writer:
        for start in range(0, len(frames), 25):
            chunk = frames[start : start + 25]
            writer.write(chunk if label is None else label.burn(chunk, start))
    if marking.signing is not None:
        embed_manifest(unsigned, path, "puppet", marking.signing, lambda data: signer.sign(data, MANIFEST))


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU of the encode stage's writer with marks against without.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the record here too")
    options = parser.parse_args()
    frames, sound = talking(options.width, options.height, options.seconds), hum(options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        made = signing_certificate.load_or_create(Path(folder))
        signer = ClaimSigner.load(made / "certificates.pem", made / "private_key.pem")
        label = Label(text=LABEL_TEXTS["en"], position="bottom-right", height=0.05, seconds=3.0)
        markings = {
            "none": Marking(),
            "aigc": Marking(producer="lipstage"),
            "c2pa": Marking(signing=signer.signing(MANIFEST)),
            "label": Marking(label=label),
        }
        arms: dict[str, Callable[[Path, Frames, Sound], None]] = {
            name: partial(write, marking, signer) for name, marking in markings.items()
        }
        costs: dict[str, list[float]] = {name: [] for name in arms}
        sizes: dict[str, int] = {}
        for name in arms:  # Warm-up: the first use loads tables and libraries.
            arms[name](Path(folder) / "warm.mp4", frames[:25], sound[:48_000])
        for turn in range(options.rounds):
            for name in list(arms)[:: -1 if turn % 2 else 1]:
                path = Path(folder) / f"{name}.mp4"
                costs[name].append(cost(arms[name], path, frames, sound)[0])
                sizes[name] = path.stat().st_size
    plain = statistics.median(costs["none"])
    # Of each round: what else the machine does changes from round to round.
    added = {
        name: statistics.median(own - without for own, without in zip(costs[name], costs["none"], strict=True))
        for name in arms
        if name != "none"
    }
    emit(
        "marks",
        {
            "video": f"{options.width}x{options.height}, {len(frames)} frames",
            "rounds": options.rounds,
            "cpu_s": round(plain, 3),
            "added_cpu_ms": {name: round(value * 1000, 1) for name, value in added.items()},
            "cpu_ratio": {name: round((plain + value) / plain, 3) for name, value in added.items()},
            "bytes": sizes,
            "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        },
    )


if __name__ == "__main__":
    main()
