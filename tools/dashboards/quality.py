"""Dashboard "Render quality": are the videos in sync, good and in time, and which are not."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.panels import RENDER, Limits, Panel, graph, number, page, quantile, traces

DRIFT, QUALITY = "lipstage_render_drift_seconds", "lipstage_render_quality_ratio"
REAL_TIME, DURATION = "lipstage_render_real_time_factor", "lipstage_render_duration_seconds"
DONE = '{outcome="done"}'
SELECT = "select(span.render.job, span.engine, span.video.resolution, span.inference.steps"


def dashboard() -> Dashboard:
    """Drift, quality, pace and durations; below, the worst renders, each with its trace."""
    return page(
        "quality",
        "Render quality",
        "Are the videos in sync, good and in time, and which are not?",
        [("Now", _now()), ("Over time", _over_time()), ("The worst renders", _worst())],
    )


def _now() -> list[Panel]:
    return [
        number("Drift above 100 ms", "Share of the finished videos of the last hour whose sound and picture are more"
               " than 100 ms apart.", "percentunit",
               f'1 - sum(increase({DRIFT}_bucket{{kind="audio", le="0.1"}}[1h]))'
               f' / (sum(increase({DRIFT}_count{{kind="audio"}}[1h])) > 0)', Limits(0.01, 0.05), width=6),
        number("Quality (median)", "0 to 1, of the finished videos of the last hour.", "percentunit",
               f"histogram_quantile(0.5, sum by (le) (increase({QUALITY}_bucket[1h]))) >= 0",
               Limits(0.7, 0.5, low_is_bad=True), width=6),
        number("Seconds of work for a second of video (median)", "Without waits in queues; 1 is real time.", "short",
               f"histogram_quantile(0.5, sum by (le) (increase({REAL_TIME}_bucket[1h]))) >= 0", width=6),
        number("From request to video (P95)", "Of the renders of the last hour.", "s",
               f"histogram_quantile(0.95, sum by (le) (increase({DURATION}_bucket{DONE}[1h]))) >= 0", width=6),
    ]  # fmt: skip


def _over_time() -> list[Panel]:
    return [
        graph("Drift", "Of finished videos: audio (what a viewer notices: the larger of the two others), container"
              " (lengths and starts of sound and picture in the file), lip (mouth against speech). A dot opens the"
              " trace.", "s",
              (quantile(0.5, DRIFT, "kind"), "{{kind}} P50"), (quantile(0.95, DRIFT, "kind"), "{{kind}} P95"),
              limits=Limits(0.08, 0.1), exemplars=True),
        graph("Quality", "Of finished videos, by engine: the median, and the value that nine of ten exceed.",
              "percentunit",
              (quantile(0.5, QUALITY, "engine"), "{{engine}} P50"),
              (quantile(0.1, QUALITY, "engine"), "{{engine}} P10"), exemplars=True),
        graph("Seconds of work for a second of video", "Working time of all stages, by engine; 1 is real time.",
              "short",
              (quantile(0.5, REAL_TIME, "engine"), "{{engine}} P50"),
              (quantile(0.95, REAL_TIME, "engine"), "{{engine}} P95")),
        graph("From request to video", "Of renders that succeeded, waits included. A dot opens the trace.", "s",
              (quantile(0.5, DURATION, "engine", where=DONE), "{{engine}} P50"),
              (quantile(0.95, DURATION, "engine", where=DONE), "{{engine}} P95"),
              (quantile(0.99, DURATION, "engine", where=DONE), "{{engine}} P99"), exemplars=True),
    ]  # fmt: skip


def _worst() -> list[Panel]:
    return [
        traces("Drift above 100 ms", "Late or early lips. Few steps make coarse mouths, and a gap between asked and"
               " true duration shifts the end.",
               f"{{ {RENDER} && span.audio.drift_ms > 100 }} | {SELECT}, span.audio.drift_ms, span.lip.offset_ms,"
               " span.container.drift_ms)", sort="audio.drift_ms"),
        traces("Cut short or stretched by more than 100 ms", "The video is shorter or longer than the sound that was"
               " asked for.",
               f"{{ {RENDER} && (span.audio.duration_gap_ms > 100 || span.audio.duration_gap_ms < -100) }} | {SELECT},"
               " span.audio.duration_asked_s, span.video.duration_s, span.audio.duration_gap_ms)",
               sort="audio.duration_gap_ms"),
        traces("Slow: above the moving P99 of its engine and resolution", "Where the seconds went, stage by stage. A"
               " long wait is a full stage, not a slow one.",
               f"{{ {RENDER} && span.render.slow = true }} | {SELECT}, span.queue.wait_ms, span.seconds.audio,"
               " span.seconds.face, span.seconds.infer, span.seconds.encode)", sort="queue.wait_ms"),
        traces("Quality below 0.5", "As `lipstage eval` measures it.",
               f"{{ {RENDER} && span.render.quality < 0.5 }} | {SELECT}, span.render.quality, span.dynamic.scale,"
               " span.expand.ratio)"),
        traces("Worse than it could be", "The input or a parameter kept the video from being better; docs/telemetry.md"
               " defines it.",
               f"{{ {RENDER} && span.render.non_optimal = true }} | {SELECT}, span.render.quality, span.audio.drift_ms,"
               " span.audio.duration_gap_ms, span.expand.ratio)"),
        traces("All finished renders", "With what product people ask for.",
               f'{{ {RENDER} && span.outcome = "done" }} | {SELECT}, span.render.quality, span.audio.drift_ms,'
               " span.video.duration_s, span.queue.wait_ms, span.attempts)"),
    ]  # fmt: skip
