"""Measures decoding: the autoencoder's decoder and interpolation."""

from typing import Any

import torch

from bench.sonic.measuring import gib, measure
from stages.infer.sonic.config import SonicConfig
from stages.infer.sonic.networks import Networks
from stages.infer.sonic.video import decode_chunks, interpolate, pictures, to_uint8

FRAMES = 24


def measure_decoding(
    networks: Networks, config: SonicConfig, width: int, height: int, repeats: int
) -> list[dict[str, Any]]:
    """Seconds to decode and interpolate a second of video, without and with blended chunks."""
    latents = torch.randn(1, FRAMES, config.vae.latent_channels, height // 8, width // 8)
    rows = []
    for chunk, overlap in ((8, 0), (8, 2), (8, 4), (2, 0)):

        def work(chunk: int = chunk, overlap: int = overlap) -> None:
            with torch.inference_mode():
                drawn = pictures(decode_chunks(networks.vae, latents, chunk, overlap))
                for picture in interpolate(networks.rife, drawn):
                    to_uint8(picture).cpu()

        measurement = measure(work, networks.device, repeats)
        row = {
            "chunk": chunk,
            "overlap": overlap,
            "per_video_s": round(measurement.best_s * 12.5 / FRAMES, 3),
            "peak_gib": gib(measurement.peak),
        }
        rows.append(row)
        print(row, flush=True)
    return rows
