"""Every stage from its stored inputs, so that one mistake shows in one place."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stages.infer.sonic.conditioning import encode_conditioning
from stages.infer.sonic.denoise import Conditioning, initial_latents
from stages.infer.sonic.picture import Picture, prepare_picture
from stages.infer.sonic.schedule import karras
from stages.infer.sonic.speech import bucket_windows, encode_audio, log_mel, token_windows
from tests.parity.golden import Case
from tests.parity.model import Stages
from tests.parity.variants import PLAIN, Variant
from tests.sonic.golden.make_tiny_checkpoint import synthetic_wave

LONG_SAMPLES = 766 * 640 + 77
"""The sound of two 30 s chunks that ``long.*`` is of, its seed 9 after the configuration's."""


def sound(case: Case) -> Tensor:
    """float32 [n], -1..1."""
    return case.tensor("wave", torch.float32) / 32768


def portrait(case: Case) -> Picture:
    """The picture's tensors."""
    left, top, width, height = case.array("face_box").tolist()
    settings = case.settings
    box = (left, top, width, height)
    return prepare_picture(case.array("image"), box, settings["min_resolution"], settings["area"])


def conditioning(stages: Stages, case: Case) -> Conditioning:
    """The loop's conditioning, from stored arrays."""

    def stored(name: str) -> Tensor:
        return stages.to_device(case.tensor(name, stages.dtype))

    return Conditioning(
        portrait=stored("image_latents"),
        image=stored("clip_embed"),
        speech=stored("audio_tokens"),
        silence=stored("uncond_tokens"),
        motion=stored("buckets"),
        mask=stored("face_mask"),
    )


@torch.inference_mode()
def inputs(stages: Stages, case: Case) -> Iterator[tuple[str, Tensor]]:
    """Everything before the loop."""
    networks = stages.networks

    def stored(name: str) -> Tensor:
        return stages.to_device(case.tensor(name, stages.dtype))

    picture = portrait(case)
    yield "ref", picture.ref
    yield "face_mask", picture.mask
    yield "clip_pixels", picture.clip_pixels
    yield "mel", log_mel(sound(case))
    count = case.settings["N"]
    states = encode_audio(networks.whisper, stored("mel"), count)
    yield "whisper_states", states
    yield "token_windows", token_windows(stored("whisper_states"), count)
    yield "bucket_windows", bucket_windows(stored("whisper_states"), count)
    yield "audio_tokens", networks.audio2token(stored("token_windows"))
    yield "uncond_tokens", networks.audio2token(torch.zeros_like(stored("token_windows")[:1]))[0]
    yield "bucket_out", networks.audio2bucket(stored("bucket_windows"), stored("clip_embed"))
    yield "clip_embed", networks.image_encoder(stored("clip_pixels"))
    yield "image_latents", networks.vae.encode(stored("ref"))
    yield "buckets", stages.motion(case, stored("bucket_out"))
    yield "noise", stages.noise(case)


def schedule(case: Case) -> Iterator[tuple[str, Tensor]]:
    """All noise levels, also those that a shortened run leaves out."""
    levels = karras(case.settings["steps"])
    yield "sigmas", levels.sigmas
    yield "timesteps", levels.times


def loop(stages: Stages, case: Case, variant: Variant) -> Iterator[tuple[str, Tensor]]:
    """The denoising loop from the stored first latents."""
    given = conditioning(stages, case)
    params, noise = stages.params(case, variant), stages.to_device(case.tensor("noise", stages.dtype))
    yield "init_latents", initial_latents(given, noise, params, stages.networks.vae.scaling_factor)
    first = stages.to_device(case.tensor("init_latents", stages.dtype))
    yield from stages.loop_arrays(given, first, params).items()


def video(stages: Stages, case: Case) -> Iterator[tuple[str, Tensor]]:
    """From the stored last latents to bytes."""
    yield from stages.video(case, stages.to_device(case.tensor("final_latents", stages.dtype))).items()


@torch.inference_mode()
def alone(stages: Stages, variant: Variant) -> Iterator[tuple[str, Tensor]]:
    """Stand-alone stages, named without their prefix ``f64.``."""
    networks, first, arrays = stages.networks, stages.golden.cases[0], stages.golden.arrays
    if variant is PLAIN:

        def stored(name: str) -> Tensor:
            return stages.to_device(torch.from_numpy(arrays[name]))

        def of_case(name: str) -> Tensor:
            return stages.to_device(first.tensor(name, stages.dtype))

        yield "clip_embed", networks.image_encoder(of_case("clip_pixels"))
        yield "whisper_states", encode_audio(networks.whisper, of_case("mel"), first.settings["N"])
        yield "audio_tokens", networks.audio2token(of_case("token_windows"))
        yield "bucket_out", networks.audio2bucket(of_case("bucket_windows"), of_case("clip_embed"))
        yield "image_latents", networks.vae.encode(of_case("ref"))
        latents = stored("vae.latents")
        decoded = networks.vae.decode(latents, len(latents))
        stride = -(-decoded.shape[-1] // arrays["f64.vae_frames"].shape[-1])
        yield "vae_frames", decoded[..., ::stride, ::stride]
        middle = networks.rife(stored("rife.img0"), stored("rife.img1"))
        yield "rife_mid", middle.picture
        yield "rife_flow", middle.flow
        yield "rife_mask", middle.weight
    yield from stages.stand_alone(variant).items()


@torch.inference_mode()
def long(stages: Stages) -> Iterator[tuple[str, Tensor]]:
    """Across the border of two 30 s chunks."""
    wave = torch.from_numpy(synthetic_wave(stages.golden.config["seed"] + 9, LONG_SAMPLES)).float() / 32768
    mel = log_mel(wave)
    yield "mel_slice", mel[0, :, 2990:3064]
    yield "states_slice", encode_audio(stages.networks.whisper, stages.to_device(mel), LONG_SAMPLES // 640)[1490:1532]


def chain(stages: Stages, case: Case, variant: Variant) -> Iterator[tuple[str, Tensor]]:
    """The whole run from picture, audio, face box and noise."""
    given = encode_conditioning(stages.networks, portrait(case), sound(case), case.settings["dynamic_scale"])
    yield "clip_embed", given.image
    yield "image_latents", given.portrait
    yield "audio_tokens", given.speech
    yield "uncond_tokens", given.silence
    yield "buckets", given.motion
    arrays = stages.denoised(case, given, stages.to_device(case.tensor("noise", stages.dtype)), variant)
    yield from arrays.items()
    if case.has("frames_sub"):
        yield from stages.video(case, arrays["final_latents"]).items()
