"""The stages of the model on a configuration's tiny tree, as functions of stored or computed inputs."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stages.infer.sonic.conditioning import initial_noise, motion_buckets
from stages.infer.sonic.denoise import Conditioning, DenoiseParams, WindowResult, denoise, initial_latents
from stages.infer.sonic.nets.unet.context import FaceMask, TokenContext
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.video import decode_chunks, interpolate, pictures, to_uint8
from tests.parity.golden import Case, Golden
from tests.parity.variants import Variant


@dataclass(frozen=True)
class Stages:
    """Networks of one precision on one device."""

    networks: Networks
    golden: Golden

    @property
    def dtype(self) -> torch.dtype:
        """fp32 or fp64."""
        return self.networks.dtype

    def to_device(self, tensor: Tensor) -> Tensor:
        """On the device, in the precision."""
        return tensor.to(self.networks.device, self.dtype)

    def params(self, case: Case, variant: Variant) -> DenoiseParams:
        """A case's settings."""
        settings = case.settings
        return DenoiseParams(
            steps=settings["steps"],
            strength=settings["i2i_noise_strength"],
            window=settings["window"],
            overlap=settings["overlap"],
            shift=settings["shift_offset"],
            image_guidance=tuple(settings["guidance_image"]),
            audio_guidance=tuple(settings["guidance_audio"]),
            fps=settings["fps_id"],
            audio_scale=settings["ip_audio_scale"],
            batch_size=variant.batch_size,
            optimization=variant.optimization,
        )

    def motion(self, case: Case, outputs: Tensor) -> Tensor:
        """The two motion buckets of every frame."""
        return motion_buckets(outputs, case.settings["dynamic_scale"])

    def noise(self, case: Case) -> Tensor:
        """From the seed, in the published order."""
        settings = case.settings
        return initial_noise(
            settings["rng_seed"],
            settings["T"],
            settings["H"],
            settings["W"],
            self.networks.vae.quant_conv.weight.shape[0] // 2,
        )

    def denoised(self, case: Case, given: Conditioning, noise: Tensor, variant: Variant) -> dict[str, Tensor]:
        """All arrays of the loop."""
        params = self.params(case, variant)
        first = initial_latents(given, noise.to(self.networks.device), params, self.networks.vae.scaling_factor)
        return {"init_latents": first} | self.loop_arrays(given, first, params)

    def loop_arrays(self, given: Conditioning, first: Tensor, params: DenoiseParams) -> dict[str, Tensor]:
        """From the first latents on."""
        self.networks.unet.apply_optimization(params.optimization)
        windows: list[WindowResult] = []
        steps: list[Tensor] = []
        final = denoise(
            self.networks.unet,
            given,
            first,
            params,
            on_step=lambda _, latents: steps.append(latents),
            on_window=windows.append,
        )
        arrays = {
            "added_time_ids": torch.stack([window.time_ids for window in windows]),
            "window_index": torch.stack([window.index for window in windows]),
            "final_latents": final,
        }
        if len(windows) > 1:
            arrays["unet_call1_out"] = windows[1].v
        if len(steps) > 1:
            arrays["step_latents"] = torch.cat(steps[:-1])
        return arrays

    @torch.inference_mode()
    def video(self, case: Case, latents: Tensor) -> dict[str, Tensor]:
        """Frames, midpoints and bytes from the last latents."""
        settings = case.settings
        stride = settings["frame_stride"]
        shown_bytes = case.array("video_u8_sub").shape
        bytes_stride = -(-settings["H"] // shown_bytes[1])
        decoded = torch.cat(list(decode_chunks(self.networks.vae, latents, settings["decode_chunk_size"])))
        shown = [picture.to(decoded.dtype) for picture in pictures([decoded])]
        sequence = list(interpolate(self.networks.rife, shown))
        first, flat = torch.cat(sequence[: shown_bytes[0]]), decoded.flatten(1).double()
        return {
            "frames_sub": decoded[..., ::stride, ::stride],
            "frames_stats": torch.stack([flat.mean(1), flat.std(1, correction=0)], dim=1),
            "mids_sub": torch.cat(sequence[1::2])[..., ::stride, ::stride],
            "video_u8_sub": to_uint8(first, "truncate")[:, ::bytes_stride, ::bytes_stride],
        }

    @torch.inference_mode()
    def stand_alone(self, variant: Variant) -> dict[str, Tensor]:
        """The single UNet call with different tokens and ids in every branch, and its blocks' outputs."""
        stored = {
            name.partition(".")[2]: torch.from_numpy(array)
            for name, array in self.golden.arrays.items()
            if name.startswith("unet.")
        }
        unet, sample = self.networks.unet, self.to_device(stored["sample"])
        unet.apply_optimization(variant.optimization)
        branches, frames = sample.shape[:2]
        clip, audio = (
            self.to_device(stored[name]).reshape(branches, frames, *stored[name].shape[1:])
            for name in ("clip_tokens", "audio_tokens")
        )
        mask = FaceMask(self.to_device(self.golden.cases[0].tensor("face_mask", self.dtype)))
        time, ids = stored["t"].to(unet.conv_in.weight.device), self.to_device(stored["added_time_ids"])
        shared = variant.optimization.shared_context
        with _Trace(self.golden, self.networks, frames) as trace:
            out = unet(sample, time, TokenContext(clip, audio, mask, shared=shared), ids)
        weaker = TokenContext(clip[-1:], audio[-1:], mask, scale=0.6, shared=shared)
        arrays = {"unet_out": out, "unet_out_scale06": unet(sample[-1:], time, weaker, ids[-1:])[0]}
        return arrays | {f"unet_trace.{name}": tensor for name, tensor in trace.seen.items()}


class _Trace:
    """Records the outputs of the stored blocks: last branch, frame 1, every second pixel of a wide map."""

    def __init__(self, golden: Golden, networks: Networks, frames: int) -> None:
        self.seen: dict[str, Tensor] = {}
        prefix = "f64.unet_trace."
        self._blocks = [name.removeprefix(prefix) for name in golden.arrays if name.startswith(prefix)]
        self._networks, self._frames = networks, frames

    def __enter__(self) -> "_Trace":
        unet, frames = self._networks.unet, self._frames
        self._hooks = []
        for name in self._blocks:

            def keep(_module: Any, _inputs: Any, output: Any, name: str = name) -> None:
                maps = output[0] if isinstance(output, tuple) else output
                seen = maps[-frames + 1]
                self.seen[name] = (seen[:, ::2, ::2] if seen.shape[-1] > 8 else seen).clone()

            self._hooks.append(unet.get_submodule(name).register_forward_hook(keep))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
