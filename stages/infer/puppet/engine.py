"""The puppet engine: loads the viseme network, plans poses from the speech and draws them as frames."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from pydantic import BaseModel

from shared.messages.engines import PuppetParams
from shared.slot.api import Context
from shared.slot.records import Scalar
from stages.infer.engine import Frame, Portrait, RenderParams, Speech, frame_count
from stages.infer.puppet.articulation import Track, closed_mouth, mouth_track
from stages.infer.puppet.idle import blink_track, gaze_track, generator, head_track
from stages.infer.puppet.portraits import Renderers
from stages.infer.puppet.renderer import MouthPose, Pose, Renderer
from stages.infer.puppet.visemes import VisemeModel

_MAX_THREADS = 2
"""Frames drawn in parallel; a larger machine is used by more replicas, not by more threads."""


class PuppetAnimation:
    """Poses of one render, drawn on demand."""

    def __init__(self, renderer: Renderer, poses: list[Pose], threads: ThreadPoolExecutor) -> None:
        self._renderer, self._poses, self._threads = renderer, poses, threads

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self._poses)

    def render(self, start: int, stop: int) -> Iterator[Frame]:
        """Frames start..stop-1 in order; OpenCV and numpy release the interpreter's lock while they draw."""
        return self._threads.map(self._renderer.frame, self._poses[start:stop])

    @property
    def prepare_cost(self) -> int:
        """Planning costs less than a frame."""
        return 0

    def metrics(self) -> Mapping[str, Scalar]:
        """No attributes of its own."""
        return {}


class PuppetEngine:
    """Runs on any CPU; needs no files but the package's own."""

    name = "puppet"

    def __init__(self) -> None:
        self._visemes: VisemeModel | None = None
        self._renderers = Renderers()
        cores = len(os.sched_getaffinity(0))
        self._threads = ThreadPoolExecutor(min(_MAX_THREADS, cores), thread_name_prefix="puppet")

    def load(self) -> None:
        """Read the viseme network. Raises shared.slot.weights.WeightsAltered when it is not the committed one."""
        self._visemes = VisemeModel()

    def prepare(
        self,
        portrait: Portrait,
        speech: Speech,
        render: RenderParams,
        params: BaseModel,
        context: Context | None = None,  # noqa: ARG002 - it is done at once: nothing to tell
    ) -> PuppetAnimation:
        """Measure the face and plan every frame. The puppet has no denoising steps: ``render.steps`` is unused."""
        if not isinstance(params, PuppetParams):
            raise TypeError(f"the puppet takes PuppetParams, not {type(params).__name__}")
        frames = frame_count(speech.duration_s)
        poses = self._poses(frames, speech, render, params)
        return PuppetAnimation(self._renderers.of(portrait), poses, self._threads)

    def _poses(self, frames: int, speech: Speech, render: RenderParams, params: PuppetParams) -> list[Pose]:
        mouth = self._mouth(frames, speech, render.dynamic_scale)
        rng = generator(render.seed)
        blinks = blink_track(frames, rng)
        head = head_track(frames, speech.tracks, params.head_motion * render.dynamic_scale, rng)
        gaze = gaze_track(frames, head, rng)
        return [
            Pose(
                mouth=MouthPose(*mouth[i].tolist()),
                blink=float(blinks[i]) if params.blinks else 0.0,
                gaze=float(gaze[i]) if params.blinks else 0.0,
                head=head[i] if params.head_motion > 0 else None,
            )
            for i in range(frames)
        ]

    def _mouth(self, frames: int, speech: Speech, dynamic_scale: float) -> Track:
        if speech.silent:
            return closed_mouth(frames)
        if self._visemes is None:
            raise RuntimeError("load() comes before prepare()")
        return mouth_track(self._visemes(speech.mel), speech.tracks[2], frames, dynamic_scale)
