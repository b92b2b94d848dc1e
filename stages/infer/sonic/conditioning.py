"""Portrait and speech as what the loop is told, and the latents it begins with."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.infer.engine import Portrait, Speech
from stages.infer.sonic.denoise import Conditioning, start
from stages.infer.sonic.model import Model
from stages.infer.sonic.picture import prepare_picture
from stages.infer.sonic.presets import Plan
from stages.infer.sonic.speech import bucket_windows, counts, hear, log_mel, token_windows


@dataclass(frozen=True)
class Prepared:
    """conditioning: on the model's device; frames: T, at 12.5 a second; size: width and height of what is drawn."""

    conditioning: Conditioning
    frames: int
    size: tuple[int, int]


@torch.inference_mode()
def condition(model: Model, portrait: Portrait, speech: Speech, plan: Plan) -> Prepared:
    """Run the side networks, each once. The video's short side rules the size that is drawn, a multiple of 64."""
    device, dtype = model.device, model.dtype
    height, width = portrait.image.shape[:2]
    x0, y0, x1, y1 = portrait.box
    picture = prepare_picture(portrait.image, (x0, y0, x1 - x0, y1 - y0), min(width, height), plan.mask_area)
    samples = torch.from_numpy(speech.pcm)
    count = counts(len(samples))
    states = hear(model.whisper, log_mel(samples).to(device), count.audio_frames)
    embed = model.clip(picture.clip_pixels.to(device)).float()
    windows = token_windows(states, count.audio_frames)
    # A frame after the other in groups: an hour's windows at once would be gigabytes.
    tokens = torch.cat([model.token(group) for group in torch.split(windows, _GROUP)])
    silence = model.token(torch.zeros_like(windows[:1]))[0]
    heard = bucket_windows(states, count.audio_frames)
    figures = torch.cat([model.bucket(group, embed) for group in torch.split(heard, _GROUP)]).float()
    conditioning = Conditioning(
        portrait=model.vae.encode(picture.ref.to(device)).to(dtype),
        image=embed.to(dtype),
        speech=tokens.to(dtype),
        silence=silence.to(dtype),
        motion=(16 + 16 * figures) * figures.new_tensor(plan.motion),
        mask=picture.mask.to(device, dtype),
    )
    return Prepared(conditioning, count.frames, (picture.ref.shape[3], picture.ref.shape[2]))


_GROUP = 256


def first_latents(model: Model, prepared: Prepared, plan: Plan, seed: int) -> Tensor:
    """Latents [1, T, 4, h, w] to begin with, on the CPU.

    The noise is drawn on the CPU in float32, so that a seed gives the same on every device; as published: by the
    device's own generator in the network's type, after one picture of noise that is not used.
    """
    portrait = prepared.conditioning.portrait
    shape = (1, prepared.frames, *portrait.shape[1:])
    if plan.published:
        generator = torch.Generator(model.device).manual_seed(seed)
        width, height = prepared.size
        torch.randn((1, 3, height, width), generator=generator, device=model.device, dtype=model.dtype)
        noise = torch.randn(shape, generator=generator, device=model.device, dtype=model.dtype)
    else:
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return start(prepared.conditioning, noise.to(portrait.device), plan.loop, model.sizes.vae.scaling).cpu()
