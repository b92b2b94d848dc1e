"""The encode stage's handler: frames and sound become an mp4 and a poster; the finished file is measured."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av.logging
import numpy as np

from shared.messages.engines import FPS
from shared.messages.metadata import AudioMetadata, EncodeMetadata, FaceMetadata, InferMetadata
from shared.slot.api import Context, Handler, Result, Task
from shared.slot.frames.chunk import read_frames
from stages.encode.container import measure_container
from stages.encode.evaluation.errors import EvaluationError
from stages.encode.evaluation.running import RunningSampler, recorded
from stages.encode.evaluation.sample import QualitySample, Sampler
from stages.encode.fragments import Fragments
from stages.encode.groups import Groups, Tap
from stages.encode.labels import SOURCE_TYPE, labels
from stages.encode.mp4 import SOUND_HZ, Coding, Mp4Writer, Sound
from stages.encode.poster import write_poster
from stages.encode.provenance.aigc import aigc_field, jpeg_segment
from stages.encode.provenance.manifest import embed_manifest
from stages.encode.provenance.visible_label import VisibleLabel
from stages.encode.settings import EncodeSettings

_FORMAT = "mp4"


def load() -> Handler:
    """Read the settings, load the evaluation's networks. Raises shared.slot.weights.WeightsAltered."""
    av.logging.set_level(av.logging.PANIC)
    settings = EncodeSettings()
    coding = Coding(settings.x264_preset, settings.x264_threads)
    return EncodeHandler(coding, Sampler() if settings.lip_check else None, settings.lip_check).handle


@dataclass(frozen=True, slots=True)
class EncodeHandler:
    """Encodes tasks; holds what stays loaded between them."""

    coding: Coding
    sampler: Sampler | None
    """None: lip offset and quality of finished files are not measured."""
    time_share: float
    """Share of a render's time that this measurement may take, 0..1."""

    def handle(self, context: Context, task: Task) -> Result:
        """Encode the frames and the sound, then measure the finished file.

        Files: ``video`` (mp4) and ``poster`` (jpg, the first frame: the mouth is at rest and the picture is the closest
        to the user's portrait). Raises ValueError when the artifacts do not fit each other, or when the finished file
        does not contain them.
        """
        start = time.monotonic()
        audio = task.job.metadata("audio", AudioMetadata)
        # The picture's size is the video's. What infer reports is there after the last chunk only.
        face = task.job.metadata("face", FaceMetadata)
        marking, engine = task.marking, task.job.request.engine
        aigc = None if marking.producer is None else aigc_field(marking.producer, task.job.job_id)
        tags = labels(engine, aigc)
        video, poster = context.scratch / "video.mp4", context.scratch / "poster.jpg"
        unsigned = video if marking.signing is None else context.scratch / "unsigned.mp4"
        resolution = f"{face.width}x{face.height}"
        with context.span("encode_video", **{"video.resolution": resolution, "video.format": _FORMAT}) as span:
            sound = _sound(task.inputs["sound"], audio.sound_channels)
            # An early start is told by what it reads; later, infer's own metadata counts.
            known = task.job.outputs.get("infer") is not None
            codec = task.job.metadata("infer", InferMetadata).frame_codec if known else task.codecs["frames"]
            expected = max(1, round(audio.duration_s * FPS))
            with ExitStack() as tools:
                taps: list[Tap] = []
                running = self._running_sampler(task, sound, start)
                if running is not None:
                    tools.callback(running.close)
                    taps.append(Groups(running.add))
                preview = _preview(context, task)
                if preview is not None:
                    taps.append(tools.enter_context(preview))
                label = None if marking.label is None else VisibleLabel(marking.label, face.width, face.height)
                writer = Mp4Writer(unsigned, face.width, face.height, sound, tags, self.coding, taps)
                tools.enter_context(writer)
                for chunk in context.chunks("frames"):
                    frames = read_frames(chunk, codec, face.width, face.height)
                    if label is not None:
                        frames = label.burn(frames, writer.frames)
                    if writer.frames == 0:
                        first = next(frames)
                        write_poster(
                            poster, first, tags["comment"], b"" if aigc is None else jpeg_segment(aigc, SOURCE_TYPE)
                        )
                        frames = chain((first,), frames)
                    writer.write(frames)
                    context.progress(writer.frames, max(writer.frames, expected))
            if marking.signing is not None:
                embed_manifest(unsigned, video, engine, marking.signing, context.sign)
                unsigned.unlink()
            infer = task.job.metadata("infer", InferMetadata)
            container = measure_container(video)
            if not writer.frames == container.frames == infer.frames or container.fps != infer.fps:
                raise ValueError(
                    f"the metadata has {infer.frames} frames at {infer.fps} fps, the chunks have {writer.frames}, "
                    f"the file has {container.frames} at {container.fps} fps"
                )
            context.raise_if_cancelled()
            worked_s = time.monotonic() - start - context.waited_s
            render_s = worked_s + sum(output.seconds for output in task.job.outputs.values())
            sample = self._measure_quality(context, task, video, self.time_share * render_s, running)
            metadata = EncodeMetadata(
                duration_s=container.duration_s,
                width=container.width,
                height=container.height,
                fps=int(container.fps),
                frames=container.frames,
                container_drift_ms=container.drift_ms,
                lip_offset_ms=sample.offset_ms,
                quality=sample.quality,
                bytes=container.bytes,
            )
            span.set("video.duration_s", metadata.duration_s)
            for name, value in metadata.attributes.items():
                span.set(name, value)
        return Result(metadata=metadata, files={"video": video, "poster": poster})

    def _running_sampler(self, task: Task, sound: Sound, start: float) -> RunningSampler | None:
        """Measures while frames are still made; None for a task whose frames are all there: they come faster than
        they could be measured."""
        if self.sampler is None or "infer" in task.job.outputs:
            return None
        before_s = sum(output.seconds for output in task.job.outputs.values())
        portrait = np.load(task.inputs["portrait"], mmap_mode="r", allow_pickle=False)
        return RunningSampler(
            self.sampler,
            lambda: recorded(sound, SOUND_HZ),
            portrait,
            # Both stages work at the same time: as in `handle`, the time of infer counts beside the own.
            lambda: self.time_share * (before_s + 2 * (time.monotonic() - start)),
            speech=task.job.metadata("audio", AudioMetadata).speech,
            box=task.job.metadata("face", FaceMetadata).box,
        )

    def _measure_quality(
        self, context: Context, task: Task, video: Path, budget_s: float, running: RunningSampler | None
    ) -> QualitySample:
        """Measure lip offset and quality; both None when this is disabled or fails: the finished video is kept."""
        if self.sampler is None:
            return QualitySample(None, None)
        speech, box = task.job.metadata("audio", AudioMetadata).speech, task.job.metadata("face", FaceMetadata).box
        portrait = np.load(task.inputs["portrait"], mmap_mode="r", allow_pickle=False)
        try:
            sample = running.finish() if running is not None else None
            if sample is not None:
                return sample
            return self.sampler.measure(video, portrait, budget_s, speech=speech, box=box)
        except EvaluationError as e:
            context.log.warning("quality_not_measured", reason=str(e))
        except Exception as e:  # noqa: BLE001 - a finished video must not be lost to a metric about it
            context.log.error("quality_measurement_failed", error=type(e).__name__)
        return QualitySample(None, None)


def _preview(context: Context, task: Task) -> Fragments | None:
    """Publishes segments while the video is encoded, where the request asks for it."""
    output = task.job.request.output
    if output is None or not output.preview:
        return None
    count = 0

    def publish(segment: bytes, seconds: Fraction) -> None:
        nonlocal count
        path = context.scratch / f"segment-{count:05d}.mp4"
        path.write_bytes(segment)
        context.publish_segment(path, float(seconds))
        count += 1

    return Fragments(publish)


def _sound(path: Path, channels: int) -> Sound:
    """Map the sound artifact instead of reading it: 10 minutes of stereo are 230 MB."""
    samples = np.memmap(path, "<f4", "r")
    if samples.size % channels:
        raise ValueError(f"the sound's {samples.size} values are not a multiple of {channels} channels")
    return samples.reshape(-1, channels)
