"""Sonic as an engine: the networks are loaded once, a render is denoised step by step and decoded as it is shipped."""

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
from stages.infer.engine import Direction, Portrait, Speech, frame_count
from stages.infer.sonic import resume
from stages.infer.sonic.animation import SonicAnimation
from stages.infer.sonic.conditioning import condition, first_noise
from stages.infer.sonic.denoise import Conditioning, denoise, start
from stages.infer.sonic.fitting import fitting, too_large
from stages.infer.sonic.memory import Clip, DoesNotFit, available, capacity, fitted
from stages.infer.sonic.meter import Meter
from stages.infer.sonic.model import Model, load
from stages.infer.sonic.picture import Picture, prepare_picture
from stages.infer.sonic.presets import Plan, plan
from stages.infer.sonic.settings import SonicSettings
from stages.infer.sonic.speech import AUDIO_FRAME, MAX_AUDIO_FRAMES, RATE, counts

CALL_IN_FRAMES = 64
"""A call of the UNet (100 TFLOP at 512 x 512) against a frame of the video (1.5 TFLOP to decode), for progress."""
MEMORY_LOOK_S = 2.0
LONGEST_S = MAX_AUDIO_FRAMES * AUDIO_FRAME / RATE
VERSION = "1"
"""Of what is computed: state of another version is not gone on from."""


class SonicEngine:
    """The official model. One render at a time, on one device."""

    name = "sonic"

    def __init__(self) -> None:
        self._model: Model | None = None

    def load(self) -> None:
        """Load the weights and warm the device up. Raises shared.slot.api.Unavailable for what an operator can mend."""
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
        self, portrait: Portrait, speech: Speech, direction: Direction, params: BaseModel, context: Context
    ) -> SonicAnimation:
        """Denoise the whole clip. Raises Rejected (AUDIO_TOO_LONG, OUT_OF_MEMORY), Cancelled within a UNet call."""
        if not isinstance(params, SonicParams):
            raise TypeError(f"sonic takes SonicParams, not {type(params).__name__}")
        if self._model is None:
            raise RuntimeError("load() comes before prepare()")
        if speech.duration_s > LONGEST_S:
            message = f"The engine sonic animates up to {LONGEST_S:.0f} s of speech."
            raise Rejected(Code.AUDIO_TOO_LONG, message, field="speech", allowed=f"at most {LONGEST_S:.0f} s")
        try:
            return _Render(self._model, direction, params, context).run(portrait, speech)
        except torch.OutOfMemoryError as e:
            # Before the loop, which tries again by itself: there was room for it a moment ago.
            raise too_large() from e


class _Render:
    def __init__(self, model: Model, direction: Direction, params: SonicParams, context: Context) -> None:
        self._model, self._context, self._seed = model, context, direction.seed
        self._plan = plan(params, direction, model.sizes, model.switches)
        self._meter = Meter(model.device, model.device_name)
        self._fingerprint = _fingerprint(model, direction, params)

    def run(self, portrait: Portrait, speech: Speech) -> SonicAnimation:
        height, width = portrait.image.shape[:2]
        frames = frame_count(speech.duration_s)
        with self._context.span("sonic.condition"), self._meter.held():
            conditioning, latents = self._conditioned(portrait, speech)
        loop, drawn = self._plan.loop, latents.shape[1]
        self._lead = CALL_IN_FRAMES * loop.calls(drawn)
        self._total = self._lead + frames
        begun = self._resumed(latents)
        step, latents = begun or (0, latents)
        with self._context.span("sonic.denoise") as span, self._meter.held():
            span.set("inference.steps", loop.schedule.steps)
            span.set("inference.resumed_step", step)
            latents = self._denoised(conditioning, latents, step)
        figures: dict[str, Scalar] = {
            "preset": self._plan.name,
            "guidance.audio": float(loop.audio_guidance[0]),
            "guidance.image": float(loop.image_guidance[0]),
            "batch.window_count": loop.calls(drawn) // loop.schedule.steps,
            "inference.resumed_step": step,
        }
        return SonicAnimation(
            self._model.networks, latents, self._plan, (width, height), frames, self._lead, self._meter, figures
        )

    def _conditioned(self, portrait: Portrait, speech: Speech) -> tuple[Conditioning, Tensor]:
        """What the loop is told, and its first latents [1, T, 4, h, w] float32 on the CPU."""
        model, plan = self._model, self._plan
        x0, y0, x1, y1 = portrait.box
        short_side = min(portrait.image.shape[:2])
        picture = prepare_picture(portrait.image, (x0, y0, x1 - x0, y1 - y0), short_side, plan.mask_area)
        wave = torch.from_numpy(speech.pcm)
        self._plan = plan = self._within_memory(plan, picture, counts(len(wave)).frames)
        conditioning = condition(
            model.networks, picture, wave, plan.motion, checkpoint=self._context.raise_if_cancelled
        )
        height, width = picture.ref.shape[2:]
        noise = first_noise(self._seed, len(conditioning.speech), height, width, model.sizes.vae.latent_channels)
        portrait_latents = replace(conditioning, portrait=conditioning.portrait.cpu())
        return conditioning, start(portrait_latents, noise, plan.loop, model.sizes.vae.scaling)

    def _within_memory(self, plan: Plan, picture: Picture, frames: int) -> Plan:
        """The fastest plan that the accelerator has room for, before the first kernel.

        What others hold of it now is waited for: a render of hours must not end for a neighbour's minute.
        """
        model = self._model
        height, width = picture.ref.shape[2:]
        clip = Clip(width, height, frames, model.networks.dtype.itemsize)
        told = False
        while True:
            free = available(model.device, model.memory_limit)
            if free is None:
                return plan
            try:
                chosen = fitted(plan, clip, model.sizes, free)
                break
            except DoesNotFit as e:
                try:
                    fitted(plan, clip, model.sizes, capacity(model.device, model.memory_limit))
                except DoesNotFit:
                    raise too_large() from e
                if not told:
                    self._context.log.warning("waiting_for_memory", needed_mb=e.needed >> 20, free_mb=free >> 20)
                told = True
            time.sleep(MEMORY_LOOK_S)
            self._context.raise_if_cancelled()
        if chosen != plan:
            self._context.log.info("rendered_in_smaller_pieces", rows=chosen.loop.rows, decode_chunk=chosen.chunk)
        return chosen

    def _resumed(self, like: Tensor) -> tuple[int, Tensor] | None:
        """Where an earlier attempt at this task was, when its state is of the same numbers."""
        if self._context.checkpoint is None:
            return None
        found = resume.read(self._context.checkpoint, like, self._plan.loop.schedule.steps, self._fingerprint)
        if found is None:
            self._context.log.warning("state_not_usable")
        return found

    def _denoised(self, conditioning: Conditioning, latents: Tensor, step: int) -> Tensor:
        networks, steps = self._model.networks, self._plan.loop.schedule.steps
        cadence = resume.Cadence(steps)
        at = (step, latents)

        def on_call(done: int, total: int) -> None:
            self._context.progress(round(self._lead * done / total), self._total)

        def on_step(done: int, now: Tensor) -> None:
            nonlocal at
            at = (done, now)
            if cadence.due(done):
                begun = time.monotonic()
                self._save(done, now)
                cadence.saved(time.monotonic() - begun)

        for attempt in fitting(self._plan.denoising()):
            with attempt as smaller:
                done, now = at
                self._plan = smaller
                return denoise(
                    networks.unet,
                    conditioning,
                    now,
                    smaller.loop,
                    start_step=done,
                    on_call=on_call,
                    on_step=on_step,
                )
            self._context.log.warning("out_of_memory", step=at[0])
            gc.collect()
            torch.cuda.empty_cache()
        raise AssertionError("the last try returns or raises")

    def _save(self, step: int, latents: Tensor) -> None:
        path = self._context.scratch / f"latents-{step:04d}.safetensors"
        resume.write(path, latents, step, self._fingerprint)
        self._context.save_checkpoint(path, step)


def _fingerprint(model: Model, direction: Direction, params: SonicParams) -> str:
    """Of all that decides the latents' numbers beside portrait and speech, which the runtime compares."""
    of = [VERSION, model.fingerprint, asdict(model.switches), asdict(direction), params.model_dump(mode="json")]
    return sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()
