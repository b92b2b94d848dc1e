"""The judge proves itself: what is out of sync, frozen or turned around is flagged by the figure that ought to."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stages.encode.evaluation import energy, phones, sync
from stages.encode.evaluation.phones import Phone
from stages.encode.evaluation.reference import Reference
from stages.encode.evaluation.report import Report, evaluate
from stages.encode.evaluation.sound import RATE, Sound
from tests.evaluation.conftest import Film, Render

SHIFTS_MS = (-200, -80, 80, 200)
WITHIN_MS = 20


@pytest.fixture(scope="module")
def heard(speech: Sound) -> Reference:
    return energy.expected(speech)


def moved(speech: Sound, late_ms: int) -> Sound:
    samples = late_ms * RATE // 1000
    return np.pad(speech, (samples, 0)) if samples > 0 else speech[-samples:]


@pytest.mark.parametrize("late_ms", SHIFTS_MS)
def test_later_speech_makes_the_video_early(evaluated: Report, speech: Sound, heard: Reference, late_ms: int) -> None:
    """Without a transcript: the reference is computed from the moved recording."""
    before = sync.measure(evaluated.readings, heard).offset_ms
    after = sync.measure(evaluated.readings, energy.expected(moved(speech, late_ms))).offset_ms
    assert before is not None and after is not None
    assert after - before == pytest.approx(-late_ms, abs=WITHIN_MS)


@pytest.mark.parametrize("late_ms", SHIFTS_MS)
def test_the_same_by_alignment(evaluated: Report, aligned: list[Phone], late_ms: int) -> None:
    late = [replace(p, start=max(0.0, p.start + late_ms / 1000), end=max(0.0, p.end + late_ms / 1000)) for p in aligned]
    after = sync.measure(evaluated.readings, phones.expected(late, evaluated.reference.duration)).offset_ms
    assert after is not None and evaluated.sync.offset_ms is not None
    assert after - evaluated.sync.offset_ms == pytest.approx(-late_ms, abs=WITHIN_MS)


@pytest.mark.parametrize("late_ms", [-80, 200])
def test_a_file_whose_sound_is_late(
    sample: Film, speech: Sound, heard: Reference, tmp_path: Path, late_ms: int
) -> None:
    """The mouth still fits the recording; what a viewer hears does not."""
    found = evaluate(sample.again(tmp_path / "v.mp4", late_s=late_ms / 1000), speech, heard).metrics()
    assert found["container"]["sound_late_ms"] == pytest.approx(late_ms, abs=2)
    assert found["av_offset_ms"] == pytest.approx(0, abs=WITHIN_MS)
    assert found["heard_offset_ms"] == pytest.approx(-late_ms, abs=WITHIN_MS)


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_speech(evaluated: Report, speech: Sound, seed: int) -> None:
    """Half seconds of the same recording in another order."""
    pieces = np.array_split(speech, 20)
    order = np.random.default_rng(seed).permutation(len(pieces))
    found = sync.measure(evaluated.readings, energy.expected(np.concatenate([pieces[i] for i in order])))
    assert found.r_unshifted is not None and abs(found.r_unshifted) < 0.2
    assert found.offset_ms is None, "chance has no offset"


def test_reversed_time(sample: Film, speech: Sound, alignment_reference: Reference, tmp_path: Path) -> None:
    found = evaluate(sample.again(tmp_path / "v.mp4", sample.frames[::-1]), speech, alignment_reference).metrics()
    assert found["sync_r"] < 0.3
    assert abs(found["r_unshifted"]) < 0.2
    assert found["av_offset_ms"] is None
    assert found["closure_lift"] < 0.1
    assert found["silence_closed"] < 0.5


@pytest.fixture(scope="module")
def shut(render: Render) -> Film:
    """Head and lids move, the mouth does not."""
    return render(silent=True)


def test_frozen_mouth(shut: Film, evaluated: Report, speech: Sound, alignment_reference: Reference) -> None:
    found = evaluate(shut.path, speech, alignment_reference).metrics()
    assert found["opening_range"] < 0.02 < evaluated.mouth.opening_range
    assert abs(found["r_unshifted"]) < 0.2
    assert found["av_offset_ms"] is None
    assert found["closure_rate"] is found["silence_closed"] is found["vowel_ratio"] is None, "absent, not 0 or 1"


def test_still_picture(sample: Film, speech: Sound, heard: Reference, tmp_path: Path) -> None:
    still = np.repeat(sample.frames[:1], len(sample.frames), axis=0)
    found = evaluate(sample.again(tmp_path / "v.mp4", still), speech, heard).metrics()
    assert found["opening_range"] < 0.02
    assert found["av_offset_ms"] is None


def test_silence_has_no_sync(sample: Film) -> None:
    nothing = np.zeros(10 * RATE, np.float32)
    found = evaluate(sample.path, nothing, energy.expected(nothing)).metrics()
    assert found["speech_s"] == 0
    for name in ("sync_r", "r_unshifted", "av_offset_ms", "heard_offset_ms", "drift_ms_per_10s", "vowel_ratio"):
        assert found[name] is None
