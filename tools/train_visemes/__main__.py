"""`python -m tools.train_visemes`: make speech, train the head on it, write it, and say how good it is."""

import argparse
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

# Two BLAS threads add up in another order, and spin against the encoder's.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from shared.slot.weights import read_weights
from stages.encode.evaluation.errors import EvaluationError
from stages.infer.puppet.visemes import WEIGHTS, VisemeModel
from tools.train_visemes import corpus, held_out
from tools.train_visemes.augment import changed, level
from tools.train_visemes.features import Encoder, Example, examples
from tools.train_visemes.flite import Flite
from tools.train_visemes.negatives import negatives
from tools.train_visemes.network import Parameters
from tools.train_visemes.scores import HEADER, TrainedModel, score
from tools.train_visemes.signal import Generator, Signal
from tools.train_visemes.sounds import Labels, labels
from tools.train_visemes.training import train

SEED = 0
PER_LANGUAGE, PER_VOICE, NEGATIVES, STEPS = 26, 170, 250, 1500
_HEAD = Path(__file__).parents[1] / "convert_models/viseme_head.npz"


def make_examples(encoder: Encoder, flite: Flite | None, rng: Generator, size: float = 1.0) -> list[Example]:
    """All speech twice, as it is and changed, and what is no speech; size: share of the whole corpus."""
    spoken = list(corpus.synthetic(max(1, round(PER_LANGUAGE * size)), rng))
    if flite is not None:
        spoken += corpus.recorded_voices(flite, round(PER_VOICE * size), rng)
    print(f"{len(spoken)} sentences, {sum(u.seconds for u in spoken) / 3600:.2f} h", flush=True)
    signals: list[tuple[Signal, Labels]] = []
    for utterance in spoken:
        signals.append((level(utterance.signal, rng), utterance.labels))
        other = changed(utterance, rng)
        signals.append((other.signal, other.labels))
    speech = [utterance.signal for utterance in spoken]
    count = round(NEGATIVES * size)
    signals += ((signal, labels([], len(signal) / 16_000)) for _, signal in negatives(count, speech, rng))
    return list(examples((signals[i] for i in rng.permutation(len(signals))), encoder))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m tools.train_visemes", description=__doc__)
    parser.add_argument("--downloads", type=Path, default=Path("out/train_visemes"), help="keep the packages here")
    parser.add_argument("--output", type=Path, default=_HEAD, help="the written head")
    options = parser.parse_args()
    began = time.monotonic()
    rng = np.random.default_rng(SEED)
    encoder = Encoder(read_weights(WEIGHTS, "visemes.onnx"))
    flite = Flite(options.downloads)
    made = make_examples(encoder, flite, rng)
    print(f"{len(made)} examples after {time.monotonic() - began:.0f} s", flush=True)
    trained = train(made, STEPS, SEED)
    for step, value in enumerate(_means(trained.losses), 1):
        print(f"step {step * 100}: loss {value:.3f}")
    save(trained.parameters, options.output)
    print(f"written: {options.output}")
    print(f"{time.monotonic() - began:.0f} s; scores of the trained head, and of the one in the engine's weights:")
    print_scores(flite, options.downloads, TrainedModel(encoder, trained.parameters), VisemeModel())
    print(f"{time.monotonic() - began:.0f} s in all. To use the head: in tools/convert_models/__main__.py put")
    print(f'_HEAD_SHA256 = "{hashlib.sha256(options.output.read_bytes()).hexdigest()}"')
    print("then run `python -m tools.convert_models`, which refuses any other file.")


def print_scores(flite: Flite, downloads: Path, *models: VisemeModel) -> None:
    """A line for every recording and model."""
    print(HEADER)
    recordings = list(held_out.synthetic(flite))
    try:
        recordings += held_out.librivox(downloads)
    except EvaluationError as error:
        print(f"without LibriVox: {error}")
    for name, signal, spoken in recordings:
        for model in models:
            print(score(name, signal, spoken, model))


def save(parameters: Parameters, path: Path) -> None:
    """As an archive of numpy without dates, so that equal parameters give equal bytes."""
    np.savez(path, allow_pickle=False, **parameters)


def _means(losses: list[float]) -> Iterator[float]:
    for start in range(0, len(losses), 100):
        yield float(np.mean(losses[start : start + 100]))


if __name__ == "__main__":
    main()
