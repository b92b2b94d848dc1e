"""The stages of the model on a configuration's tiny tree, as functions of stored or computed inputs."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stages.infer.sonic.conditioning import first_noise, motion_figures
from stages.infer.sonic.denoise import Call, Conditioning, Loop, denoise, start
from stages.infer.sonic.nets.unet.context import FaceMask, TokenContext
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.video import decode_chunks, interpolate, pictures, to_uint8
from tests.parity.golden import Case, Golden
from tests.parity.ways import Way


@dataclass(frozen=True)
class Stages:
    """Networks of one precision on one device."""

    networks: Networks
    golden: Golden

    @property
    def dtype(self) -> torch.dtype:
        """fp32 or fp64."""
        return self.networks.dtype

    def at(self, tensor: Tensor) -> Tensor:
        """On the device, in the precision."""
        return tensor.to(self.networks.device, self.dtype)

    def loop(self, case: Case, way: Way) -> Loop:
        """A case's settings."""
        of = case.settings
        return Loop(
            steps=of["steps"],
            strength=of["i2i_noise_strength"],
            window=of["window"],
            overlap=of["overlap"],
            shift=of["shift_offset"],
            image_guidance=tuple(of["guidance_image"]),
            audio_guidance=tuple(of["guidance_audio"]),
            fps=of["fps_id"],
            audio_scale=of["ip_audio_scale"],
            rows=way.rows,
            switches=way.switches,
        )

    def motion(self, case: Case, said: Tensor) -> Tensor:
        """The two motion figures of every frame."""
        return motion_figures(said, case.settings["dynamic_scale"])

    def noise(self, case: Case) -> Tensor:
        """From the seed, in the published order."""
        of = case.settings
        return first_noise(of["rng_seed"], of["T"], of["H"], of["W"], self.networks.vae.quant_conv.weight.shape[0] // 2)

    def denoised(self, case: Case, given: Conditioning, noise: Tensor, way: Way) -> dict[str, Tensor]:
        """All arrays of the loop."""
        loop = self.loop(case, way)
        first = start(given, noise.to(self.networks.device), loop, self.networks.vae.scaling)
        return {"init_latents": first} | self.loop_arrays(given, first, loop)

    def loop_arrays(self, given: Conditioning, first: Tensor, loop: Loop) -> dict[str, Tensor]:
        """From the first latents on."""
        self.networks.unet.apply_switches(loop.switches)
        calls: list[Call] = []
        steps: list[Tensor] = []
        final = denoise(
            self.networks.unet,
            given,
            first,
            loop,
            on_step=lambda _, latents: steps.append(latents),
            watch=calls.append,
        )
        found = {
            "added_time_ids": torch.stack([call.time_ids for call in calls]),
            "window_index": torch.stack([call.index for call in calls]),
            "final_latents": final,
        }
        if len(calls) > 1:
            found["unet_call1_out"] = calls[1].v
        if len(steps) > 1:
            found["step_latents"] = torch.cat(steps[:-1])
        return found

    @torch.inference_mode()
    def video(self, case: Case, latents: Tensor) -> dict[str, Tensor]:
        """Frames, midpoints and bytes from the last latents."""
        of = case.settings
        stride = of["frame_stride"]
        shown_bytes = case.array("video_u8_sub").shape
        bytes_stride = -(-of["H"] // shown_bytes[1])
        decoded = torch.cat(list(decode_chunks(self.networks.vae, latents, of["decode_chunk_size"])))
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
    def stand_alone(self, way: Way) -> dict[str, Tensor]:
        """The single UNet call with different tokens and ids in every branch, and its blocks' outputs."""
        stored = {
            name.partition(".")[2]: torch.from_numpy(array)
            for name, array in self.golden.arrays.items()
            if name.startswith("unet.")
        }
        unet, sample = self.networks.unet, self.at(stored["sample"])
        unet.apply_switches(way.switches)
        branches, frames = sample.shape[:2]
        clip, audio = (
            self.at(stored[name]).reshape(branches, frames, *stored[name].shape[1:])
            for name in ("clip_tokens", "audio_tokens")
        )
        mask = FaceMask(self.at(self.golden.cases[0].tensor("face_mask", self.dtype)))
        time, ids = stored["t"].to(unet.conv_in.weight.device), self.at(stored["added_time_ids"])
        shared = way.switches.shared_context
        with _Trace(self.golden, self.networks, frames) as trace:
            out = unet(sample, time, TokenContext(clip, audio, mask, shared=shared), ids)
        weaker = TokenContext(clip[-1:], audio[-1:], mask, scale=0.6, shared=shared)
        found = {"unet_out": out, "unet_out_scale06": unet(sample[-1:], time, weaker, ids[-1:])[0]}
        return found | {f"unet_trace.{name}": tensor for name, tensor in trace.seen.items()}


class _Trace:
    """Listens to the blocks whose outputs are stored: last branch, frame 1, every second pixel of a wide map."""

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
