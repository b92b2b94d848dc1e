"""What a task of each stage takes, and where the figure comes from. Used by the simulated day and the table of values.

CPU stages: `bench.autoscale.service_times` on two virtual cores at load 4, 512 x 512, engine puppet; an idle machine is
about twice as fast.
sonic: docs/sonic.md, H200, 512 x 512, 25 steps, fp16, compiled: 3.70 s of denoising and 0.43 s of decoding for each
second of video. Its 1 s for each task (reading, conditioning, writing) is an assumption.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StageWork:
    """One stage with an engine."""

    name: str
    task_s: float
    """Seconds for each task."""
    per_video_s: float
    """Seconds for each second of video."""
    slots: int
    """Tasks at the same time in one replica, as in the chart's values."""
    target_wait_s: float
    """How long a task may wait in the stage's queue, seconds: what the threshold is made for."""
    gpu: bool = False
    cold_start_s: float = 60.0
    """From the decision until the replica takes records, seconds: node, image, weights, warm-up. Assumed."""
    resumes: bool = False
    """An interrupted task goes on from its checkpoint."""

    def seconds(self, video_s: float) -> float:
        """Of one task of this many seconds of video."""
        return self.task_s + self.per_video_s * video_s


AUDIO = StageWork("audio", 0.046, 0.010, slots=2, target_wait_s=15)
FACE = StageWork("face", 0.10, 0.0, slots=1, target_wait_s=15)
PUPPET = StageWork("infer.puppet", 0.064, 0.248, slots=1, target_wait_s=10)
SONIC = StageWork("infer.sonic", 1.0, 4.13, slots=1, target_wait_s=120, gpu=True, resumes=True)
ENCODE = StageWork("encode", 0.0, 0.171, slots=2, target_wait_s=15)
PIPELINES = {"puppet": (AUDIO, FACE, PUPPET, ENCODE), "sonic": (AUDIO, FACE, SONIC, ENCODE)}
