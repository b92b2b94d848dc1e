"""Sonic (Ji et al. 2024, "Sonic: Shifting Focus to Global Audio Perception in Portrait Animation") as an engine.

Our own implementation of the published model, with the key names of its official weight files. This module declares the
engine and is free of torch.
"""

from pathlib import Path

from shared.messages.metadata import AudioMetadata, FaceMetadata
from shared.messages.task import RenderTask
from shared.slot.engines import EngineEnvironment, EngineSpec, ExternalWeights


def checkpoint_bytes(task: RenderTask) -> int:
    """Latents of a clip: float32, 4 channels at an eighth of the size, 12.5 frames a second."""
    face, audio = task.metadata("face", FaceMetadata), task.metadata("audio", AudioMetadata)
    return round(audio.duration_s * 12.5) * 16 * (face.width // 8 + 8) * (face.height // 8 + 8)


ENGINE = EngineSpec(
    factory="stages.infer.sonic.engine:SonicEngine",
    gpu=True,
    # 400 s of speech, the model's limit, at 512 x 512 and 25 steps are 500 PFLOP: 3 hours at 50 TFLOP/s.
    deadline_s=12 * 3600.0,
    checkpoint_bytes=checkpoint_bytes,
    environment=EngineEnvironment(module="torch", folder=".venv-sonic", setup="make setup-sonic"),
    weights=ExternalWeights(
        catalogue=Path(__file__).with_name("weights") / "catalogue.json", program="stages.infer.sonic.weights"
    ),
    settings="stages.infer.sonic.settings:SonicSettings",
    variables=(
        "CUDA_*",
        "NVIDIA_*",
        "PYTORCH_*",
        "TORCH*",
        "TRITON_*",
        "NCCL_*",
        "HIP_*",
        "ROCR_*",
        "HSA_*",
        "MIOPEN_*",
        "KINETO_*",
        "CC",
        "CPATH",
        "USER",
    ),
)
