"""Latents to pictures: the autoencoder's decoder and the midpoints."""

from typing import Any

import torch

from bench.sonic.measuring import gib, measured
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.sizes import SonicSizes
from stages.infer.sonic.video import decode_chunks, interpolate, pictures, to_uint8

FRAMES = 24


def decoding(networks: Networks, sizes: SonicSizes, width: int, height: int, repeats: int) -> list[dict[str, Any]]:
    """Seconds of a second of video, decoded and interpolated, without and with blended chunks."""
    latents = torch.randn(1, FRAMES, sizes.vae.latent_channels, height // 8, width // 8)
    rows = []
    for chunk, overlap in ((8, 0), (8, 2), (8, 4), (2, 0)):

        def work(chunk: int = chunk, overlap: int = overlap) -> None:
            with torch.inference_mode():
                single = pictures(decode_chunks(networks.vae, latents, chunk, overlap))
                for picture in interpolate(networks.rife, single):
                    to_uint8(picture).cpu()

        found = measured(work, networks.device, repeats)
        row = {
            "chunk": chunk,
            "overlap": overlap,
            "per_video_s": round(found.best_s * 12.5 / FRAMES, 3),
            "peak_gib": gib(found.peak),
        }
        rows.append(row)
        print(row, flush=True)
    return rows
