"""Checks of records: retries are not early, commits not ahead, dead letters and headers as they must be."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator

from shared.messages.pipeline import FIRST, step
from shared.messages.tiers import Tier
from shared.messages.topics import RETRY
from tests.chaos.history import History, Rec, following_topics

DLQ = "__dlq.errors."


def no_early_retry(history: History) -> Iterator[str]:
    """A record is sent back no earlier than its tier after it was put on the retry topic, by the broker's clock."""
    back = defaultdict(list)
    for record in history.work:
        if record.delivery.retries > 0:
            back[_round(history, record)].append(record)
    waiting = defaultdict(list)
    for record in history.retries:
        waiting[_round(history, record)].append(record)
    for number, sent in back.items():
        retries = sorted(waiting[number], key=lambda r: r.timestamp_ms)
        for retry, record in zip(retries, sorted(sent, key=lambda r: r.timestamp_ms), strict=False):
            tier = Tier.parse(retry.topic.removeprefix(RETRY))
            waited = record.timestamp_ms - retry.timestamp_ms
            if waited < tier.seconds * 1000:
                yield f"{record} was sent back {waited} ms after {retry}: {tier.seconds * 1000 - waited} ms early"


def _round(history: History, record: Rec) -> tuple[str, str, int, int]:
    """What a retry record and the record that is sent back share. The number of retries and not of the attempt, which
    an outage and an open circuit breaker don't use up."""
    topic = record.delivery.retry_topic or history.prefix + record.topic
    return str(record.delivery.origin), topic, record.delivery.retries, record.delivery.replays


def no_commit_ahead(history: History) -> Iterator[str]:
    """Every record below the committed offset of its group has an outcome: the next task, a terminal event, a retry, a
    dead letter."""
    retried = defaultdict(int)
    for record in history.retries:
        retried[(record.delivery.retry_topic or "").removeprefix(history.prefix), record.job] += 1
    tasks = defaultdict(int)
    for record in history.work:
        tasks[record.topic, record.job, record.delivery.replays] += 1
    for (group, topic, partition), offset in history.committed.items():
        for record in history.records:
            if (record.topic, record.partition) != (topic, partition) or record.offset >= offset:
                continue
            if topic.startswith(RETRY):
                if not _sent_back(history, record):
                    yield f"{group} committed {record}, which was not sent back"
            elif topic in history.stages and not _has_outcome(history, record, tasks):
                if retried[topic, record.job] > 0:
                    retried[topic, record.job] -= 1
                else:
                    yield f"{group} committed {record} of {record.job or 'no job'}, which has no outcome"


def _has_outcome(history: History, record: Rec, tasks: dict[tuple[str, str, int], int]) -> bool:
    if record.place in history.dead_places:
        return True
    named = record.body.get("job_id")
    job = named if isinstance(named, str) else record.job
    if history.stages[record.topic] == FIRST:
        job = history.job_of(record)
    replays = record.delivery.replays
    if any(end.get("replays", 0) >= replays for end in history.ends(job)):
        return True
    if any(event["type"] == "conflict" for event in history.events.get(job, [])):
        return True
    return any(tasks[topic, job, replays] for topic in following_topics(history, record.topic))


def _sent_back(history: History, retry: Rec) -> bool:
    if retry.place in history.dead_places or history.ends(retry.job):
        return True
    number = _round(history, retry)
    return any(_round(history, record) == number for record in history.work)


def dead_letters_identical(history: History) -> Iterator[str]:
    """A dead letter has key, value and headers of its record, byte for byte and in order; ``__dlq.errors`` beside."""
    for letter in history.dead_letters:
        place = history.original(letter)
        original = history.by_place.get(place) if place else None
        if original is None:
            yield f"{letter} does not name an existing record: {place}"
            continue
        omitted = letter.header(f"{DLQ}omitted") or ""
        if "headers" not in omitted and letter.headers[: len(original.headers)] != original.headers:
            yield f"{letter} has other headers than {original}"
        if any(not name.startswith(DLQ) for name, _ in letter.headers[len(original.headers) :]):
            yield f"{letter} has headers that are neither those of {original} nor {DLQ}*"
        if "key" not in omitted and letter.key != original.key:
            yield f"{letter} has another key than {original}"
        if "value" not in omitted and _value(history, letter) != original.value:
            yield f"{letter} has another value than {original}"


def _value(history: History, letter: Rec) -> bytes | None:
    """The value of a dead letter; a large one is in the object store."""
    key, digest = letter.header(f"{DLQ}value.key"), letter.header(f"{DLQ}value.sha256")
    if letter.value is not None or not key:
        return letter.value
    body = history.fetch(key)
    return body if body is not None and hashlib.sha256(body).hexdigest() == digest else None


def dead_letters_end_their_job(history: History) -> Iterator[str]:
    """A dead letter of a known job has a ``failed`` event that names it, or another dead letter of the same record. A
    job that ended without a dead letter (done, rejected, cancelled, expired) stays as it is."""
    named, otherwise = defaultdict(set), set()
    for job in history.jobs:
        for end in history.ends(job):
            if (ref := end.get("dead_letter")) is not None:
                named[job].add((ref["partition"], ref["offset"]))
            elif end["type"] != "failed" or end.get("code") in ("CANCELLED", "EXPIRED"):
                otherwise.add((job, end.get("replays", 0)))
    for letter in history.dead_letters:
        if letter.job not in history.jobs:
            continue
        same = {
            (o.partition, o.offset) for o in history.dead_letters if history.original(o) == history.original(letter)
        }
        if not same & named[letter.job] and (letter.job, letter.delivery.replays) not in otherwise:
            yield f"no failed event of {letter.job} names its dead letter {letter.partition}:{letter.offset}"


def headers_constant(history: History) -> Iterator[str]:
    """Records have one traceparent, and the same number of headers from attempt to attempt."""
    counts: dict[tuple[str, str, int], dict[int, str]] = defaultdict(dict)
    for record in (*history.work, *history.retries):
        repeated = record.delivery.retries > 0
        ours = repeated or history.stages[record.topic] != FIRST
        foreign = record.job not in history.jobs or history.is_foreign(record)
        if ours and not foreign and record.count("traceparent") != 1:
            yield f"{record} has {record.count('traceparent')} traceparent headers"
        if repeated:
            kind = "retry" if record.topic.startswith(RETRY) else record.topic
            counts[kind, str(record.delivery.origin), record.delivery.replays][len(record.headers)] = str(record)
    for (kind, origin, _), found in counts.items():
        if len(found) > 1:
            yield f"the retries of {origin} ({kind}) have {sorted(found)} headers: {', '.join(found.values())}"


def group_of(topic: str, stages: dict[str, str], engine: str = "puppet") -> str:
    """The consumer group, without the deployment's prefix, that reads a topic."""
    if topic.startswith(RETRY):
        return "lipstage.relay"
    stage = stages[topic]
    return f"lipstage.{stage}" + (f".{engine}" if step(stage).per_engine else "")
