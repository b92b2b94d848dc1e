"""The engine on the tiny tree: frames, parameters, checkpoints, cancel, memory, and reasons for Unavailable."""

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
from stages.infer.engine import Frame, Portrait, RenderParams, Speech, frame_count
from stages.infer.sonic import engine as engine_module
from stages.infer.sonic import model as model_module
from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.engine import FRAMES_PER_CALL, SonicEngine
from stages.infer.sonic.model import choose_device
from stages.infer.sonic.nets.unet.optimization import OptimizationFlags
from stages.infer.sonic.presets import PRESETS, make_plan
from stages.infer.sonic.settings import SonicSettings
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
        loaded = SonicEngine()
        loaded.load()
        yield loaded


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
        samples: int = SAMPLES, seed: int = 7, checkpoint: Path | None = None, **params: Any
    ) -> tuple[list[Frame], StageHarness, dict[str, Any]]:
        context = StageHarness(tmp_path_factory.mktemp("scratch"), checkpoint=checkpoint)
        fields = {"decode_overlap": 0, **params}
        animation = engine.prepare(
            portrait(), speech(samples), RenderParams(STEPS, 1.0, seed), SonicParams(**fields), context
        )
        half = animation.frames // 2
        frames = [*animation.render(0, half), *animation.render(half, animation.frames)]
        return frames, context, dict(animation.metrics())

    return shoot


@pytest.fixture(scope="module")
def first(film: Film) -> tuple[list[Frame], StageHarness, dict[str, Any]]:
    return film()


def test_frames_have_the_announced_number_and_size(first: Any) -> None:
    frames, context, metrics = first
    assert len(frames) == frame_count(SAMPLES / 16_000) == 6
    assert {(frame.shape, frame.dtype) for frame in frames} == {((SIZE[1], SIZE[0], 3), np.dtype(np.uint8))}
    assert not np.array_equal(frames[0], frames[2])
    # N = 6, T = 3, 2 T - 1 = 5 drawn: the sixth repeats the fifth.
    assert np.array_equal(frames[4], frames[5])
    assert not np.array_equal(frames[3], frames[4])
    assert [span.name for span in context.spans] == ["sonic.condition", "sonic.denoise"]
    assert context.spans[1].attributes["inference.steps"] == STEPS
    assert (metrics["gpu.seconds"], metrics["batch.window_count"], metrics["preset"]) == (0.0, 1, "quality")
    assert metrics["cpu.seconds"] > 0


@pytest.mark.parametrize("samples", [3200, 3839, 4479])
def test_last_frame_is_repeated_three_times_at_most(film: Film, samples: int) -> None:
    frames, _, _ = film(samples)
    assert len(frames) == frame_count(samples / 16_000)
    assert sum(np.array_equal(frame, frames[-1]) for frame in frames[:-1]) <= 3


def test_without_interpolation_each_frame_is_repeated(film: Film, first: Any) -> None:
    frames, _, _ = film(interpolate=False)
    assert all(np.array_equal(frames[2 * n], frames[2 * n + 1]) for n in range(3))
    assert np.array_equal(frames[2], first[0][2])


def test_progress_counts_unet_calls_in_frames(first: Any) -> None:
    _, context, _ = first
    prepare_cost = FRAMES_PER_CALL * STEPS
    assert context.progressed == [(n * FRAMES_PER_CALL, prepare_cost + 6) for n in range(STEPS)]


@pytest.mark.parametrize(
    "differs", [{"seed": 8}, {"audio_guidance": 3.0}, {"image_guidance": 1.0}, {"expression_scale": 2.0}]
)
def test_seed_and_parameters_change_the_frames(film: Film, first: Any, differs: dict[str, Any]) -> None:
    assert not np.array_equal(film(**differs)[0][2], first[0][2])


def test_official_preset_truncates_pixels(film: Film, first: Any) -> None:
    official = film(preset="official")[0]
    darker = [a.astype(int) - b.astype(int) for a, b in zip(official, first[0], strict=True)]
    assert min(d.min() for d in darker) < 0
    assert np.mean(darker) == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("step", [1, STEPS])
def test_resumed_render_gives_the_same_bytes(film: Film, first: Any, step: int) -> None:
    frames, context, _ = first
    checkpoints = {done: path for path, done in context.checkpoints}
    again, resumed, metrics = film(checkpoint=checkpoints[step])
    assert all(np.array_equal(a, b) for a, b in zip(frames, again, strict=True))
    assert metrics["inference.resumed_step"] == step
    assert len(resumed.progressed) == STEPS - step


def test_checkpoint_of_another_render_is_ignored(film: Film, first: Any) -> None:
    path, _ = first[1].checkpoints[0]
    frames, context, metrics = film(checkpoint=path, seed=8)
    assert metrics["inference.resumed_step"] == 0
    assert ("warning", "checkpoint_not_usable", {}) in context.log.lines
    assert all(np.array_equal(a, b) for a, b in zip(frames, film(seed=8)[0], strict=True))


def test_cancel_takes_effect_before_the_next_unet_call(
    engine: SonicEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._model is not None
    unet, calls = engine._model.networks.unet, 0
    forward = unet.forward

    def counted(*inputs: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return forward(*inputs)

    monkeypatch.setattr(unet, "forward", counted)
    context = StageHarness(tmp_path)
    progress = context.progress

    def cancel_at_the_third(done: int, total: int) -> None:
        if done == 2 * FRAMES_PER_CALL:
            raise Cancelled
        progress(done, total)

    monkeypatch.setattr(context, "progress", cancel_at_the_third)
    with pytest.raises(Cancelled):
        engine.prepare(portrait(), speech(), RenderParams(STEPS, 1.0, 7), SonicParams(), context)
    assert calls == 2


def out_of_memory(monkeypatch: pytest.MonkeyPatch, fits: Callable[[Any], bool]) -> list[tuple[int, int]]:
    """Denoising fails after each step unless the parameters ``fits``; batch size and first step of every attempt."""
    attempts: list[tuple[int, int]] = []
    real = engine_module.denoise

    def denoise(unet: Any, conditioning: Any, latents: Any, params: Any, **options: Any) -> torch.Tensor:
        attempts.append((params.batch_size, options["start_step"]))
        on_step = options.pop("on_step")

        def step(done: int, latents: torch.Tensor) -> None:
            on_step(done, latents)
            if not fits(params):
                raise torch.OutOfMemoryError("CUDA out of memory")

        return real(unet, conditioning, latents, params, on_step=step, **options)

    monkeypatch.setattr(engine_module, "denoise", denoise)
    return attempts


def test_out_of_memory_continues_with_one_branch_per_call(
    film: Film, first: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = out_of_memory(monkeypatch, lambda params: params.batch_size == 1)
    frames, _, _ = film()
    assert attempts == [(3, 0), (1, 1)], "from the newest step"
    worst = max(np.abs(a.astype(int) - b.astype(int)).max() for a, b in zip(frames, first[0], strict=True))
    assert worst <= 1, "equal up to rounding"


def test_memory_that_others_take_meanwhile_is_for_the_runtime_to_wait_for(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = out_of_memory(monkeypatch, lambda _: False)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        film()
    assert type(caught.value).__name__ == "OutOfMemoryError", "the runtime knows it by name"
    assert len(attempts) == 3 and {batch_size for batch_size, _ in attempts} == {3, 1}


def test_memory_of_other_processes_is_waited_for(film: Film, first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([1 << 20, 1 << 20, 80 << 30])
    monkeypatch.setattr(engine_module, "available_memory", lambda *_: next(free))
    monkeypatch.setattr(engine_module, "memory_capacity", lambda *_: 80 << 30)
    monkeypatch.setattr(engine_module, "MEMORY_POLL_S", 0.0)
    frames, _, _ = film()
    assert next(free, None) is None, "it polled until the memory was free"
    assert all((a == b).all() for a, b in zip(frames, first[0], strict=True))


def test_render_beyond_the_capacity_is_rejected(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("available_memory", "memory_capacity"):
        monkeypatch.setattr(engine_module, name, lambda *_: 1 << 20)
    with pytest.raises(Rejected) as caught:
        film()
    assert (caught.value.code, caught.value.field) == (Code.OUT_OF_MEMORY, "params.min_resolution")


def test_invalid_setting_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSTAGE_SONIC_DTYPE", "float16")
    with pytest.raises(Unavailable, match="LIPSTAGE_SONIC_DTYPE: Input should be"):
        SonicEngine().load()


def test_unreadable_weights_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(engine_module, "load", denied)
    with pytest.raises(Unavailable, match="can't be read: Permission denied"):
        SonicEngine().load()


def test_decoding_continues_after_out_of_memory(
    film: Film, engine: SonicEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine._model is not None
    vae, chunks = engine._model.networks.vae, list[int]()
    decode = vae.decode

    def failing(latents: torch.Tensor, frames: int) -> torch.Tensor:
        chunks.append(frames)
        if len(chunks) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(latents, frames)

    monkeypatch.setattr(vae, "decode", failing)
    frames, _, _ = film(7680, decode_chunk=4)
    assert chunks == [4, 2, 2, 2, 2], "the clip is decoded again, in smaller chunks"
    assert len(frames) == 12
    assert not any(np.array_equal(a, b) for a, b in pairwise(frames[:11])), "no frame is repeated"


def test_frames_are_rendered_once_in_order(engine: SonicEngine, tmp_path: Path) -> None:
    params = SonicParams(decode_overlap=0)
    animation = engine.prepare(portrait(), speech(3200), RenderParams(1, 1.0, 7), params, StageHarness(tmp_path))
    next(animation.render(0, 1))
    with pytest.raises(ValueError, match="1 is the next"):
        animation.render(0, 1)


def test_speech_over_the_limit_is_rejected(engine: SonicEngine, tmp_path: Path) -> None:
    none = np.zeros((3, 0), np.float32)
    with pytest.raises(Rejected) as caught:
        long = Speech(none[0], none, none, 400.1, False)
        engine.prepare(portrait(), long, RenderParams(1, 1.0, 7), SonicParams(), StageHarness(tmp_path))
    assert (caught.value.code, caught.value.allowed) == (Code.AUDIO_TOO_LONG, "at most 400 s")


def test_slow_load_logs_its_progress(
    tree: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(model_module, "LOG_EVERY_S", 0.0)
    caplog.set_level("INFO")
    model_module.load(SonicSettings(weights=tree, device="cpu"))
    logged = [record for record in caplog.records if record.message == "weights_loading"]
    assert logged and all(r.fields["done_mb"] <= r.fields["total_mb"] for r in logged)  # type: ignore[attr-defined]


def test_missing_weights_are_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LIPSTAGE_SONIC_WEIGHTS", raising=False)
    with pytest.raises(Unavailable, match="LIPSTAGE_SONIC_WEIGHTS"):
        SonicEngine().load()
    monkeypatch.setenv("LIPSTAGE_SONIC_WEIGHTS", str(tmp_path / "absent"))
    with pytest.raises(Unavailable, match="FOLDER_MISSING"):
        SonicEngine().load()


def test_compilation_without_a_compiler_is_refused_before_the_weights_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(Unavailable, match="LIPSTAGE_SONIC_COMPILED=true needs a C compiler"):
        model_module.load(SonicSettings(weights=tmp_path, compiled=True))


def test_missing_device_is_unavailable() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(Unavailable, match="LIPSTAGE_SONIC_DEVICE=cuda:99"):
        choose_device("cuda:99")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [1, 2, 25, 100])
def test_presets_run_at_least_one_step(name: Any, steps: int) -> None:
    plan = make_plan(SonicParams(preset=name), RenderParams(steps, 1.0, 0), SonicConfig(), OptimizationFlags())
    assert 1 <= plan.denoise.schedule.steps <= steps
    assert 2 * plan.decode_overlap <= plan.decode_chunk


def test_official_preset_is_the_published_loop() -> None:
    plan = make_plan(SonicParams(preset="official"), RenderParams(25, 1.0, 0), SonicConfig(), OptimizationFlags())
    params = plan.denoise
    assert (params.steps, params.schedule.steps, params.window, params.overlap, params.shift) == (25, 25, 25, 0, 7)
    assert (params.image_guidance, params.audio_guidance) == ((2.0, 2.0), (7.5, 7.5))
    assert (plan.decode_chunk, plan.decode_overlap, plan.rounding) == (8, 0, "truncate")
    assert (plan.motion_scale, plan.mask_area, plan.interpolate) == ((1.0, 1.0), 1.1, True)
