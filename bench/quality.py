"""Evaluates sync and picture of the engine over voices, languages and portraits; before and after; with controls.

    .venv/bin/python -m bench.quality [--portraits DIR] [--speech FILE ...] [--baseline CHECKOUT] [--json FILE]

Without options: the sample and six voices of espeak-ng on the sample portrait and two pictures made from it. A Markdown
table and one JSON record. Films and figures are kept under ``--out`` by a digest of their inputs: an interrupted run
is resumed, and a changed engine renders again.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from bench.controls import controls
from bench.record import emit
from stages.encode.evaluation import energy, phones, quality, sound
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.phones import Phone
from stages.encode.evaluation.reference import Reference
from stages.encode.evaluation.report import evaluate
from tests.evaluation.voices import say

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples"
ALIGNMENT = ROOT / "tests" / "evaluation" / "speech.phones.json"
VOICES = {
    "en-us+f2": "When the train left the station, a tall man opened his paper and read the news. Outside, the hills "
    "were green and quiet.",
    "cmn": "今天天气很好 我们一起去公园散步。孩子们在草地上跑来跑去 妈妈在看书。",
    "es": "Mi abuelo vive en un pueblo pequeño cerca de la montaña. Por la mañana compra pan y por la tarde juega con "
    "sus amigos.",
    "fr": "Ma mère prépare un bon repas pour toute la famille. Après le dîner, nous regardons un film et nous parlons "
    "de la journée.",
    "de": "Am Morgen kommt der Bäcker mit frischem Brot. Danach gehen wir mit dem Hund in den Wald und sammeln Pilze.",
    "hi": "मेरा भाई बहुत अच्छा गाना गाता है। सुबह वह बाज़ार जाता है और शाम को किताब पढ़ता है।",
}
PORTRAITS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".gif", ".bmp")
FIGURES = ("sync_r", "av_offset_ms", "closure_lift", "silence_closed", "jitter", "quality")


@dataclass(frozen=True, slots=True)
class Voice:
    """A recording and the mouth movement that is expected for it."""

    name: str
    path: Path
    reference: Reference
    source: str
    """Where the times of the sounds come from."""


def voices(folder: Path, recordings: Sequence[Path]) -> Iterator[Voice]:
    """The sample, the synthetic voices, and what the user gives."""
    speech = SAMPLES / "speech.wav"
    aligned = [Phone(*row) for row in json.loads(ALIGNMENT.read_text())]
    length = len(sound.load(speech)) / sound.RATE
    yield Voice("en, LibriVox", speech, phones.expected(aligned, length), "phones, aligned by pocketsphinx")
    for name, text in VOICES.items():
        spoken = say(text, name, folder / f"{name}.wav")
        reference = phones.expected(spoken.phones, spoken.seconds)
        yield Voice(f"{name}, espeak-ng", spoken.path, reference, "phones, by the synthesiser")
    for path in recordings:
        yield Voice(path.stem, path, energy.expected(sound.load(path)), "energy")


def portraits(folder: Path, given: Path | None) -> list[Path]:
    """The pictures of a folder; else the sample, and the sample mirrored and dark, tilted and small."""
    if given:
        return sorted(p for p in given.iterdir() if p.suffix.lower() in PORTRAITS)
    sample = SAMPLES / "portrait.png"
    mirrored, tilted = folder / "mirrored-dark.png", folder / "tilted-small.png"
    with Image.open(sample) as picture:
        rgb = picture.convert("RGB")
        rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT).point([value * 2 // 5 for value in range(256)] * 3).save(
            mirrored
        )
        rgb.rotate(15, Image.Resampling.BICUBIC).resize((320, 320), Image.Resampling.LANCZOS).save(tilted)
    return [sample, mirrored, tilted]


def version(checkout: Path) -> str:
    """A digest of everything that a film depends on."""
    found = hashlib.sha256()
    for room in ("stages", "shared/messages", "shared/slot"):
        for path in sorted((checkout / room).rglob("*")):
            if path.is_file() and path.suffix in (".py", ".onnx", ".npz", ".json"):
                found.update(str(path.relative_to(checkout)).encode() + path.read_bytes())
    return found.hexdigest()[:12]


def films(checkout: Path, out: Path, voices: Sequence[Voice], faces: Sequence[Path]) -> dict[tuple[str, str], Path]:
    """Metadata by (voice, portrait); the film lies beside. Renders what is not there yet."""
    folder = out / version(checkout)
    found, jobs = {}, []
    for voice in voices:
        for face in faces:
            key = hashlib.sha256(voice.path.read_bytes() + face.read_bytes()).hexdigest()[:16]
            found[voice.name, face.stem] = metadata = folder / f"{key}.json"
            if not metadata.exists():
                jobs.append(
                    {"portrait": face, "speech": voice.path, "film": metadata.with_suffix(".mp4"), "metadata": metadata}
                )
    if jobs:
        jobs_json = json.dumps([{name: str(Path(path).absolute()) for name, path in job.items()} for job in jobs])
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        script = [sys.executable, str(Path(__file__).with_name("films.py"))]
        subprocess.run(script, cwd=checkout, env=environment, input=jobs_json, text=True, check=True)
    return found


def evaluated(metadata: Path, voice: Voice, face: Path) -> dict[str, Any]:
    """The figures of one film, kept beside it; of a refused film, the reason."""
    record: dict[str, Any] = json.loads(metadata.read_text())
    if "refused" in record:
        return {"refused": record["refused"]}
    evaluation_version = hashlib.sha256(
        b"".join(p.read_bytes() for p in sorted(Path(quality.__file__).parent.glob("*.py")))
    )
    kept = metadata.with_suffix(f".{evaluation_version.hexdigest()[:8]}.evaluated")
    if kept.exists():
        figures: dict[str, Any] = json.loads(kept.read_text())
        return figures
    try:
        figures = evaluate(metadata.with_suffix(".mp4"), sound.load(voice.path), voice.reference, face).metrics()
    except EvaluationError as e:
        figures = {"refused": str(e)}
    figures.pop("per_frame", None)
    figures["stage"] = {"seconds": record["seconds"], **record["encode"], "warnings": record["warnings"]}
    kept.write_text(json.dumps(figures))
    return figures


def table(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> str:
    """Markdown: one line a film, before and after in one cell."""
    lines = [f"| voice | reference | portrait | {' | '.join(FIGURES)} |", "| --- " * (3 + len(FIGURES)) + "|"]
    for row in rows:
        cells = [" -> ".join(shown(name, row[label].get(name)) for label in labels) for name in FIGURES]
        first = FIGURES[0]
        cells[0] = " -> ".join(row[label].get("refused") or shown(first, row[label].get(first)) for label in labels)
        lines.append(f"| {row['voice']} | {row['reference']} | {row['portrait']} | {' | '.join(cells)} |")
    for middle in ("median", "worst"):
        cells = [" -> ".join(shown(name, over(rows, label, name, middle)) for label in labels) for name in FIGURES]
        lines.append(f"| **{middle}** | | | {' | '.join(cells)} |")
    return "\n".join(lines)


def over(rows: Sequence[dict[str, Any]], label: str, name: str, what: str) -> float | None:
    """Median or worst of a figure over the films that have it; offsets by their size, jitter: less is better."""
    known: list[float] = [row[label][name] for row in rows if row[label].get(name) is not None]
    if not known:
        return None
    sizes = [abs(value) for value in known] if name == "av_offset_ms" else known
    if what == "median":
        return statistics.median(sizes)
    return max(sizes) if name in ("av_offset_ms", "jitter") else min(sizes)


def shown(name: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if name.endswith("_ms") else f"{value:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path, help="folder of pictures instead of the sample's")
    parser.add_argument("--speech", type=Path, nargs="*", default=[], help="recordings beside the built-in voices")
    parser.add_argument("--baseline", type=Path, help="another checkout of the project, for before and after")
    parser.add_argument("--out", type=Path, default=Path("out/quality"), help="films and figures are kept here")
    parser.add_argument("--voices", type=int, default=1 + len(VOICES), help="only so many of the built-in voices")
    parser.add_argument("--json", type=Path, help="write the record here too")
    options = parser.parse_args()
    made = options.out / "made"
    made.mkdir(parents=True, exist_ok=True)
    spoken = list(voices(made, options.speech))
    spoken = spoken[: options.voices] + spoken[1 + len(VOICES) :]
    faces = portraits(made, options.portraits)
    checkouts = {"before": options.baseline.absolute()} if options.baseline else {}
    checkouts["after"] = ROOT
    found = {label: films(checkout, options.out, spoken, faces) for label, checkout in checkouts.items()}
    rows: list[dict[str, Any]] = [
        {
            "voice": voice.name,
            "reference": voice.source,
            "portrait": face.stem,
            **{label: evaluated(found[label][voice.name, face.stem], voice, face) for label in checkouts},
        }
        for voice in spoken
        for face in faces
    ]
    print(table(rows, list(checkouts)))
    metadata = found["after"][spoken[0].name, faces[0].stem]
    seconds = sum(json.loads(metadata.read_text())["seconds"].values())
    proof = controls(metadata.with_suffix(".mp4"), faces[0], seconds)
    print("\n" + proof.table())
    figures = {"versions": {label: version(path) for label, path in checkouts.items()}, "rows": rows}
    emit("quality", {**figures, "controls": proof.rows, "sample": proof.cost})


if __name__ == "__main__":
    main()
