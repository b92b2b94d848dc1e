"""Sonic as an engine: networks are loaded once; a render is denoised step by step and decoded as frames are taken."""

import gc
import json
import time
from dataclasses import asdict, replace
from hashlib import sha256

import torch
from pydantic import BaseModel, ValidationError
from torch import Tensor

from shared.messages.codes import Code, Rejected
from shared.messages.engines import SonicParams
from shared.slot.api import Context, Unavailable
from shared.slot.records import Scalar
from stages.infer.engine import Portrait, RenderParams, Speech, frame_count
from stages.infer.sonic.animation import SonicAnimation
from stages.infer.sonic.checkpoints import CheckpointSchedule, read_checkpoint, write_checkpoint
from stages.infer.sonic.conditioning import encode_conditioning, initial_noise
from stages.infer.sonic.denoise import Conditioning, denoise, initial_latents
from stages.infer.sonic.fallback import smaller_on_out_of_memory, too_large
from stages.infer.sonic.memory import Clip, DoesNotFit, available_memory, fit_plan, memory_capacity
from stages.infer.sonic.meter import Meter
from stages.infer.sonic.model import Model, load
from stages.infer.sonic.picture import Picture, prepare_picture
from stages.infer.sonic.presets import Plan, make_plan
from stages.infer.sonic.settings import SonicSettings
from stages.infer.sonic.speech import AUDIO_FRAME, MAX_AUDIO_FRAMES, RATE, count_frames

FRAMES_PER_CALL = 64
"""Cost of a UNet call (100 TFLOP at 512 x 512) in frames of the video (1.5 TFLOP to decode), for progress."""
MEMORY_POLL_S = 2.0
MAX_SPEECH_S = MAX_AUDIO_FRAMES * AUDIO_FRAME / RATE
VERSION = "1"
"""Version of the computation: a checkpoint of another one is not used."""


class SonicEngine:
    """The official model. One render at a time, on one device."""

    name = "sonic"

    def __init__(self) -> None:
        self._model: Model | None = None

    def load(self) -> None:
        """Load the weights and warm the device up. Raises shared.slot.api.Unavailable for what an operator can fix."""
        try:
            self._model = load(SonicSettings())
        except ValidationError as e:
            faults = (f"LIPSTAGE_SONIC_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in e.errors())
            raise Unavailable("; ".join(faults)) from e
        except OSError as e:
            raise Unavailable(f"the weights can't be read: {e.strerror or type(e).__name__}") from e
        except torch.OutOfMemoryError as e:
            raise Unavailable("the accelerator has not enough free memory for the weights") from e

    def prepare(
        self, portrait: Portrait, speech: Speech, render: RenderParams, params: BaseModel, context: Context
    ) -> SonicAnimation:
        """Denoise the whole clip.

        Raises Rejected (AUDIO_TOO_LONG, and OUT_OF_MEMORY when the accelerator is too small), torch.OutOfMemoryError
        when other processes have taken the memory, Cancelled before a UNet call.
        """
        if not isinstance(params, SonicParams):
            raise TypeError(f"sonic takes SonicParams, not {type(params).__name__}")
        if self._model is None:
            raise RuntimeError("prepare() was called before load()")
        if speech.duration_s > MAX_SPEECH_S:
            message = f"The engine sonic animates up to {MAX_SPEECH_S:.0f} s of speech."
            raise Rejected(Code.AUDIO_TOO_LONG, message, field="speech", allowed=f"at most {MAX_SPEECH_S:.0f} s")
        return _Render(self._model, render, params, context).run(portrait, speech)


class _Render:
    def __init__(self, model: Model, render: RenderParams, params: SonicParams, context: Context) -> None:
        self._model, self._context, self._seed = model, context, render.seed
        self._plan = make_plan(params, render, model.config, model.optimization)
        self._meter = Meter(model.device, model.device_name)
        self._fingerprint = _fingerprint(model, render, params)

    def run(self, portrait: Portrait, speech: Speech) -> SonicAnimation:
        height, width = portrait.image.shape[:2]
        frames = frame_count(speech.duration_s)
        with self._context.span("sonic.condition"), self._meter.device_time():
            conditioning, latents = self._condition(portrait, speech)
        denoising, drawn = self._plan.denoise, latents.shape[1]
        self._prepare_cost = FRAMES_PER_CALL * denoising.window_count(drawn)
        self._total = self._prepare_cost + frames
        step, latents = self._resume(latents) or (0, latents)
        with self._context.span("sonic.denoise") as span, self._meter.device_time():
            span.set("inference.steps", denoising.schedule.steps)
            span.set("inference.resumed_step", step)
            latents = self._denoise(conditioning, latents, step)
        metrics: dict[str, Scalar] = {
            "preset": self._plan.preset,
            "guidance.audio": float(denoising.audio_guidance[0]),
            "guidance.image": float(denoising.image_guidance[0]),
            "batch.window_count": denoising.window_count(drawn) // denoising.schedule.steps,
            "inference.resumed_step": step,
        }
        return SonicAnimation(
            self._model.networks, latents, self._plan, (width, height), frames, self._prepare_cost, self._meter, metrics
        )

    def _condition(self, portrait: Portrait, speech: Speech) -> tuple[Conditioning, Tensor]:
        """The loop's conditioning, and its first latents [1, T, 4, h, w] float32 on the CPU."""
        model = self._model
        x0, y0, x1, y1 = portrait.box
        short_side = min(portrait.image.shape[:2])
        picture = prepare_picture(portrait.image, (x0, y0, x1 - x0, y1 - y0), short_side, self._plan.mask_area)
        wave = torch.from_numpy(speech.pcm)
        self._plan = plan = self._fit_memory(self._plan, picture, count_frames(len(wave)).frames)
        conditioning = encode_conditioning(
            model.networks,
            picture,
            wave,
            plan.motion_scale,
            raise_if_cancelled=self._context.raise_if_cancelled,
        )
        height, width = picture.ref.shape[2:]
        noise = initial_noise(self._seed, len(conditioning.speech), height, width, model.config.vae.latent_channels)
        on_cpu = replace(conditioning, portrait=conditioning.portrait.cpu())
        return conditioning, initial_latents(on_cpu, noise, plan.denoise, model.config.vae.scaling_factor)

    def _fit_memory(self, plan: Plan, picture: Picture, frames: int) -> Plan:
        """The fastest plan that fits the accelerator's free memory, before the first kernel.

        Memory that other processes hold is waited for: a render of hours must not fail because of a minute.
        """
        model = self._model
        height, width = picture.ref.shape[2:]
        clip = Clip(width, height, frames, model.networks.dtype.itemsize)
        logged = False
        while True:
            free = available_memory(model.device, model.memory_limit)
            if free is None:
                return plan
            try:
                fitted = fit_plan(plan, clip, model.config, free)
                break
            except DoesNotFit as e:
                try:
                    fit_plan(plan, clip, model.config, memory_capacity(model.device, model.memory_limit))
                except DoesNotFit:
                    raise too_large() from e
                if not logged:
                    self._context.log.warning("waiting_for_memory", needed_mb=e.needed >> 20, free_mb=free >> 20)
                logged = True
            time.sleep(MEMORY_POLL_S)
            self._context.raise_if_cancelled()
        if fitted != plan:
            self._context.log.info(
                "rendered_in_smaller_pieces", batch_size=fitted.denoise.batch_size, decode_chunk=fitted.decode_chunk
            )
        return fitted

    def _resume(self, like: Tensor) -> tuple[int, Tensor] | None:
        """Step and latents of an earlier attempt's checkpoint; None without a usable one."""
        if self._context.checkpoint is None:
            return None
        steps = self._plan.denoise.schedule.steps
        resumed = read_checkpoint(self._context.checkpoint, like, steps, self._fingerprint)
        if resumed is None:
            self._context.log.warning("checkpoint_not_usable")
        return resumed

    def _denoise(self, conditioning: Conditioning, latents: Tensor, step: int) -> Tensor:
        networks, steps = self._model.networks, self._plan.denoise.schedule.steps
        schedule = CheckpointSchedule(steps)
        newest = (step, latents)

        def on_call(done: int, total: int) -> None:
            self._context.progress(round(self._prepare_cost * done / total), self._total)

        def on_step(done: int, latents: Tensor) -> None:
            nonlocal newest
            newest = (done, latents)
            if schedule.is_due(done):
                started = time.monotonic()
                self._save_checkpoint(done, latents)
                schedule.record_saved(time.monotonic() - started)

        for attempt in smaller_on_out_of_memory(self._plan.denoise_fallbacks()):
            with attempt as plan:
                start_step, latents = newest
                self._plan = plan
                return denoise(
                    networks.unet,
                    conditioning,
                    latents,
                    plan.denoise,
                    start_step=start_step,
                    on_call=on_call,
                    on_step=on_step,
                )
            self._context.log.warning("out_of_memory", step=newest[0])
            gc.collect()
            torch.cuda.empty_cache()
        raise AssertionError("the last attempt returns or raises")

    def _save_checkpoint(self, step: int, latents: Tensor) -> None:
        path = self._context.scratch / f"latents-{step:04d}.safetensors"
        write_checkpoint(path, latents, step, self._fingerprint)
        self._context.save_checkpoint(path, step)


def _fingerprint(model: Model, render: RenderParams, params: SonicParams) -> str:
    """Hex SHA-256 of everything that determines the latents beside portrait and speech, which the runtime compares."""
    inputs = [VERSION, model.fingerprint, asdict(model.optimization), asdict(render), params.model_dump(mode="json")]
    return sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
