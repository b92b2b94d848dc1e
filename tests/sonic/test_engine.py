"""The engine on the tiny tree: frames, parameters, resume, cancel, memory, what it says when it can't work."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.messages.codes import Code, Rejected
from shared.messages.engines import SonicParams
from shared.slot.api import Cancelled, Unavailable
from stages.infer.engine import Direction, Frame, Portrait, Speech, frame_count
from stages.infer.sonic import engine as engine_module
from stages.infer.sonic import model as model_module
from stages.infer.sonic.engine import CALL_IN_FRAMES, SonicEngine
from stages.infer.sonic.model import choose_device
from stages.infer.sonic.nets.unet.switches import Switches
from stages.infer.sonic.presets import PRESETS, plan
from stages.infer.sonic.settings import SonicSettings
from stages.infer.sonic.sizes import SonicSizes
from tests.sonic.public import GOLDEN
from tests.stage_harness import StageHarness

SAMPLES = 4000
STEPS = 3
SIZE = (140, 128)
"""Width and height: the model draws 128 x 128."""

Film = Callable[..., tuple[list[Frame], StageHarness, dict[str, Any]]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    make = [sys.executable, str(GOLDEN / "make_tiny_checkpoint.py"), "--config", str(GOLDEN / "A.json")]
    subprocess.run([*make, "--out", str(folder), "--skip-unused"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def engine(tree: Path) -> Iterator[SonicEngine]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LIPSTAGE_SONIC_WEIGHTS", str(tree))
        environment.setenv("LIPSTAGE_SONIC_DEVICE", "cpu")
        made = SonicEngine()
        made.load()
        yield made


def portrait() -> Portrait:
    width, height = SIZE
    image = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    return Portrait(image, np.zeros((478, 3), np.float32), mask, (40.0, 30.0, 90.0, 95.0))


def speech(samples: int = SAMPLES) -> Speech:
    pcm = (np.random.default_rng(2).standard_normal(samples) * 0.1).astype(np.float32)
    columns = samples // 160
    mel, tracks = np.zeros((80, columns), np.float32), np.zeros((3, columns), np.float32)
    return Speech(pcm, mel, tracks, samples / 16_000, False)


@pytest.fixture(scope="module")
def film(engine: SonicEngine, tmp_path_factory: pytest.TempPathFactory) -> Film:
    def shoot(
        samples: int = SAMPLES, seed: int = 7, saved: Path | None = None, **params: Any
    ) -> tuple[list[Frame], StageHarness, dict[str, Any]]:
        context = StageHarness(tmp_path_factory.mktemp("scratch"), checkpoint=saved)
        fields = {"decode_overlap": 0, **params}
        made = engine.prepare(portrait(), speech(samples), Direction(STEPS, 1.0, seed), SonicParams(**fields), context)
        half = made.frames // 2
        frames = [*made.render(0, half), *made.render(half, made.frames)]
        return frames, context, dict(made.figures())

    return shoot


@pytest.fixture(scope="module")
def first(film: Film) -> tuple[list[Frame], StageHarness, dict[str, Any]]:
    return film()


def test_frames_are_as_many_and_as_large_as_announced(first: Any) -> None:
    frames, context, figures = first
    assert len(frames) == frame_count(SAMPLES / 16_000) == 6
    assert {(frame.shape, frame.dtype) for frame in frames} == {((SIZE[1], SIZE[0], 3), np.dtype(np.uint8))}
    assert not np.array_equal(frames[0], frames[2])
    # N = 6, T = 3, 2 T - 1 = 5 drawn: the sixth is the fifth held.
    assert np.array_equal(frames[4], frames[5])
    assert not np.array_equal(frames[3], frames[4])
    assert [span.name for span in context.spans] == ["sonic.condition", "sonic.denoise"]
    assert context.spans[1].attributes["inference.steps"] == STEPS
    assert (figures["gpu.seconds"], figures["batch.window_count"], figures["preset"]) == (0.0, 1, "quality")
    assert figures["cpu.seconds"] > 0


@pytest.mark.parametrize("samples", [3200, 3839, 4479])
def test_the_end_is_held_for_three_frames_at_most(film: Film, samples: int) -> None:
    frames, _, _ = film(samples)
    assert len(frames) == frame_count(samples / 16_000)
    assert sum(np.array_equal(frame, frames[-1]) for frame in frames[:-1]) <= 3


def test_without_interpolation_each_frame_is_held_twice(film: Film, first: Any) -> None:
    frames, _, _ = film(interpolate=False)
    assert all(np.array_equal(frames[2 * n], frames[2 * n + 1]) for n in range(3))
    assert np.array_equal(frames[2], first[0][2])


def test_progress_rises_to_the_end_of_the_lead(first: Any) -> None:
    _, context, _ = first
    lead = CALL_IN_FRAMES * STEPS
    assert context.progressed == [(n * CALL_IN_FRAMES, lead + 6) for n in range(STEPS)]


@pytest.mark.parametrize(
    "differs", [{"seed": 8}, {"audio_guidance": 3.0}, {"image_guidance": 1.0}, {"expression_scale": 2.0}]
)
def test_seed_and_parameters_count(film: Film, first: Any, differs: dict[str, Any]) -> None:
    assert not np.array_equal(film(**differs)[0][2], first[0][2])


def test_the_official_preset_truncates(film: Film, first: Any) -> None:
    official = film(preset="official")[0]
    darker = [a.astype(int) - b.astype(int) for a, b in zip(official, first[0], strict=True)]
    assert min(d.min() for d in darker) < 0
    assert np.mean(darker) == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("step", [1, STEPS])
def test_from_saved_latents_the_same_bytes_come(film: Film, first: Any, step: int) -> None:
    frames, context, _ = first
    states = {done: path for path, done in context.checkpoints}
    again, resumed, figures = film(saved=states[step])
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    assert figures["inference.resumed_step"] == step
    assert len(resumed.progressed) == STEPS - step


def test_latents_of_another_render_are_not_used(film: Film, first: Any) -> None:
    path, _ = first[1].checkpoints[0]
    frames, context, figures = film(checkpoint=path, seed=8)
    assert figures["inference.resumed_step"] == 0
    assert ("warning", "state_not_usable", {}) in context.log.lines
    assert all(np.array_equal(a, b) for a, b in zip(frames, film(seed=8)[0], strict=True))


def test_a_cancel_is_seen_before_the_next_call_of_the_network(
    engine: SonicEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._model is not None
    unet, calls = engine._model.networks.unet, 0
    forward = unet.forward

    def counted(*of: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return forward(*of)

    monkeypatch.setattr(unet, "forward", counted)
    context = StageHarness(tmp_path)
    ask = context.progress

    def cancel_at_the_third(done: int, total: int) -> None:
        if done == 2 * CALL_IN_FRAMES:
            raise Cancelled
        ask(done, total)

    monkeypatch.setattr(context, "progress", cancel_at_the_third)
    with pytest.raises(Cancelled):
        engine.prepare(portrait(), speech(), Direction(STEPS, 1.0, 7), SonicParams(), context)
    assert calls == 2


def out_of_memory(monkeypatch: pytest.MonkeyPatch, fits: Callable[[Any], bool]) -> list[tuple[int, int]]:
    """Denoising fails after each step unless the loop ``fits``; rows and first step of every try."""
    tried: list[tuple[int, int]] = []
    real = engine_module.denoise

    def denoise(unet: Any, conditioning: Any, latents: Any, loop: Any, **how: Any) -> torch.Tensor:
        tried.append((loop.rows, how["start_step"]))
        on_step = how.pop("on_step")

        def step(done: int, now: torch.Tensor) -> None:
            on_step(done, now)
            if not fits(loop):
                raise torch.OutOfMemoryError("CUDA out of memory")

        return real(unet, conditioning, latents, loop, on_step=step, **how)

    monkeypatch.setattr(engine_module, "denoise", denoise)
    return tried


def test_out_of_memory_goes_on_with_one_branch_at_a_time(
    film: Film, first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = out_of_memory(monkeypatch, lambda loop: loop.rows == 1)
    frames, _, _ = film()
    assert tried == [(3, 0), (1, 1)], "from the step that was done"
    worst = max(np.abs(a.astype(int) - b.astype(int)).max() for a, b in zip(frames, first[0], strict=True))
    assert worst <= 1, "equal up to rounding"


def test_what_fits_nowhere_is_refused(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = out_of_memory(monkeypatch, lambda _: False)
    with pytest.raises(Rejected) as caught:
        film()
    assert (caught.value.code, caught.value.field) == (Code.OUT_OF_MEMORY, "params.min_resolution")
    assert len(tried) == 3 and {rows for rows, _ in tried} == {3, 1}


def test_what_another_process_holds_is_waited_for(film: Film, first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([1 << 20, 1 << 20, 80 << 30])
    monkeypatch.setattr(engine_module, "available", lambda *_: next(free))
    monkeypatch.setattr(engine_module, "capacity", lambda *_: 80 << 30)
    monkeypatch.setattr(engine_module, "MEMORY_LOOK_S", 0.0)
    frames, _, _ = film()
    assert next(free, None) is None, "it looked until there was room"
    assert all((a == b).all() for a, b in zip(frames, first[0], strict=True))


def test_what_the_empty_card_could_not_hold_is_refused(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("available", "capacity"):
        monkeypatch.setattr(engine_module, name, lambda *_: 1 << 20)
    with pytest.raises(Rejected) as caught:
        film()
    assert caught.value.code == Code.OUT_OF_MEMORY


def test_settings_that_are_wrong_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_SONIC_DTYPE", "float16")
    with pytest.raises(Unavailable, match="LIPSTAGE_SONIC_DTYPE: Input should be"):
        SonicEngine().load()


def test_weights_that_may_not_be_read_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(engine_module, "load", denied)
    with pytest.raises(Unavailable, match="can't be read: Permission denied"):
        SonicEngine().load()


def test_decoding_that_runs_out_of_memory_goes_on_where_it_was(
    film: Film, engine: SonicEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._model is not None
    vae, sizes = engine._model.networks.vae, list[int]()
    decode = vae.decode

    def failing(latents: torch.Tensor, frames: int) -> torch.Tensor:
        sizes.append(frames)
        if len(sizes) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(latents, frames)

    monkeypatch.setattr(vae, "decode", failing)
    frames, _, _ = film(7680, decode_chunk=4)
    assert sizes == [4, 2, 2, 2, 2], "the clip is decoded anew, in smaller chunks"
    assert len(frames) == 12
    assert not any(np.array_equal(a, b) for a, b in pairwise(frames[:11])), "none comes twice"


def test_frames_are_given_once(engine: SonicEngine, tmp_path: Path) -> None:
    params = SonicParams(decode_overlap=0)
    made = engine.prepare(portrait(), speech(3200), Direction(1, 1.0, 7), params, StageHarness(tmp_path))
    next(made.render(0, 1))
    with pytest.raises(ValueError, match="1 is the next"):
        made.render(0, 1)


def test_a_speech_over_the_models_limit_is_refused(engine: SonicEngine, tmp_path: Path) -> None:
    none = np.zeros((3, 0), np.float32)
    with pytest.raises(Rejected) as caught:
        long = Speech(none[0], none, none, 400.1, False)
        engine.prepare(portrait(), long, Direction(1, 1.0, 7), SonicParams(), StageHarness(tmp_path))
    assert (caught.value.code, caught.value.allowed) == (Code.AUDIO_TOO_LONG, "at most 400 s")


def test_a_long_load_says_how_far_it_is(
    tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_module, "TELL_EVERY_S", 0.0)
    caplog.set_level("INFO")
    model_module.load(SonicSettings(weights=tree, device="cpu"))
    told = [record for record in caplog.records if record.message == "weights_loading"]
    assert told and all(r.fields["done_mb"] <= r.fields["whole_mb"] for r in told)  # type: ignore[attr-defined]


def test_without_weights_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LIPSTAGE_SONIC_WEIGHTS", raising=False)
    with pytest.raises(Unavailable, match="LIPSTAGE_SONIC_WEIGHTS"):
        SonicEngine().load()
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", str(tmp_path / "absent"))
    with pytest.raises(Unavailable, match="FOLDER_MISSING"):
        SonicEngine().load()


def test_a_device_that_is_not_there_is_named() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(Unavailable, match="LIPSTAGE_SONIC_DEVICE=cuda:99"):
        choose_device("cuda:99")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [1, 2, 25, 100])
def test_presets_leave_steps_to_do(name: Any, steps: int) -> None:
    made = plan(SonicParams(preset=name), Direction(steps, 1.0, 0), SonicSizes(), Switches())
    assert 1 <= made.loop.schedule.steps <= steps
    assert 2 * made.chunk_overlap <= made.chunk


def test_the_official_preset_is_the_published_loop() -> None:
    made = plan(SonicParams(preset="official"), Direction(25, 1.0, 0), SonicSizes(), Switches())
    loop = made.loop
    assert (loop.steps, loop.schedule.steps, loop.window, loop.overlap, loop.shift) == (25, 25, 25, 0, 7)
    assert (loop.image_guidance, loop.audio_guidance) == ((2.0, 2.0), (7.5, 7.5))
    assert (made.chunk, made.chunk_overlap, made.rounding) == (8, 0, "truncate")
    assert (made.motion, made.mask_area, made.interpolate) == ((1.0, 1.0), 1.1, True)
