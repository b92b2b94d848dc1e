"""Checks of jobs: each ends, once, with one video, and nothing of it is visible before its marker."""

from collections import defaultdict
from collections.abc import Iterator

from shared.messages.pipeline import STAGES
from tests.chaos.history import History, tenant

ARTIFACTS = "artifacts"
"""Alias of the artifact bucket in references."""


def nothing_lost(history: History) -> Iterator[str]:
    """Every request that the broker confirmed has ended, after its newest replay."""
    missing = [place for place in history.acknowledged if place not in history.by_place]
    yield from (f"the request {place} is not in its topic any more" for place in missing)
    for job in history.jobs:
        newest = history.replays(job)
        if not any(end.get("replays", 0) >= newest for end in history.ends(job)):
            yield f"{job} has no end after replay {newest}: {[e.get('type') for e in history.events.get(job, [])]}"


def one_terminal_state(history: History) -> Iterator[str]:
    """A job has one end for each of its replays; the same event may be published again, a different one may not."""
    for job in history.jobs:
        by_replay = defaultdict(list)
        for end in history.ends(job):
            if end not in by_replay[end.get("replays", 0)]:
                by_replay[end.get("replays", 0)].append(end)
        for replay, ends in by_replay.items():
            if len(ends) > 1:
                states = [f"{e['type']} {e.get('code', '')} at {e['time_ms']}" for e in ends]
                yield f"{job} has {len(ends)} ends at replay {replay}: {'; '.join(states)}"
        if [e["type"] for ends in by_replay.values() for e in ends].count("done") > 1:
            yield f"{job} is done more than once"


def one_final_artifact(history: History) -> Iterator[str]:
    """A done job has one video: that of the attempt in encode's marker, which its event names."""
    for job in history.jobs:
        for end in (end for end in history.ends(job) if end["type"] == "done"):
            owner = tenant([end])
            marker = history.marker(owner, job, STAGES[-1])
            if marker is None:
                yield f"{job} is done and encode has no marker"
                continue
            folder = f"jobs/{owner}/{job}/{STAGES[-1]}/{marker['attempt']}/"
            videos = [key for key in history.objects if key.startswith(folder) and key.endswith(".mp4")]
            if len(videos) != 1:
                yield f"{job} has {len(videos)} videos in the winning attempt"
            named = {ref["key"] for ref in marker["artifacts"].values()}
            if end["video"].get("bucket") in (None, ARTIFACTS) and end["video"]["key"] not in named:
                yield f"{job}: the event done names {end['video']['key']}, which is not in encode's marker"


def nothing_visible_without_marker(history: History) -> Iterator[str]:
    """A task names only outputs of completed stages: the attempt that the marker of the stage names."""
    for record in history.work:
        for stage, output in record.body.get("outputs", {}).items():
            request = record.body.get("request", {})
            marker = history.marker(request.get("tenant", "default"), record.job, stage)
            if record.job not in history.jobs:
                continue
            if marker is None:
                yield f"{record} uses the output of {stage}, which has no marker"
            elif marker.get("attempt") != output.get("attempt"):
                yield f"{record} uses attempt {output.get('attempt')} of {stage}; the marker names another"


def attempts_bounded(history: History) -> Iterator[str]:
    """No task has more attempts than configured: over tiers, tries in the process and crashes."""
    for job in history.jobs:
        starts = defaultdict(list)
        for event in history.events.get(job, []):
            if event["type"] == "started":
                starts[event["stage"], event.get("replays", 0)].append(event["attempt"])
        for (stage, replay), attempts in starts.items():
            limit = history.max_attempts + history.extra_starts
            if max(attempts) > history.max_attempts or len(attempts) > limit:
                yield f"{job} started {len(attempts)} times at {stage} (replay {replay}), attempts {attempts}"
    for record in (*history.work, *history.retries):
        if record.job in history.jobs and record.delivery.attempt > history.max_attempts:
            yield f"{record} is for attempt {record.delivery.attempt} of {history.max_attempts}"


def one_trace(history: History) -> Iterator[str]:
    """The events of a job have one trace id for each of its replays."""
    for job in history.jobs:
        traces = defaultdict(set)
        for event in history.events.get(job, []):
            if event["type"] not in ("conflict", "purged", "replayed") and event.get("trace_id"):
                traces[event.get("replays", 0)].add(event["trace_id"])
        yield from (f"{job} has {len(ids)} traces at replay {n}" for n, ids in traces.items() if len(ids) > 1)


def nothing_left(history: History) -> Iterator[str]:
    """No temporary file or process outlives the services, and no frame a done job."""
    yield from history.leftovers
    for job in history.jobs:
        if any(end["type"] == "done" for end in history.ends(job)):
            chunks = [key for key in history.objects if key.startswith(f"jobs/default/{job}/infer/")]
            if chunks:
                yield f"{job} is done and has {len(chunks)} chunks"
