"""Rows 7, 8, 12, 18, 27 and 28: records that are sent twice, unreadable, too large, mutated, forged or of another
version."""

import json
import uuid

from confluent_kafka import KafkaException

from shared.messages.topics import work_topics
from tests.chaos.rig import Header, Rig
from tests.chaos.rows.table import Outcome, Row

HOSTILE: tuple[Header, ...] = (
    ("x-bytes", b"\xff\xfe\x00"),
    ("x-null", None),
    ("x-twice", b"1"),
    ("x-twice", b"2"),
    ("", b"no name"),
    ("__dlq.errors.stage", b"forged"),
)
INTERNAL = ("render.face", "render.infer.puppet", "render.encode")
MUTANTS = 60


def duplicates(rig: Rig, outcome: Outcome) -> None:
    """The same request ten times: all before the job has ended, and again after it."""
    rig.start()
    value, job = rig.request(), f"twice-{uuid.uuid4().hex[:12]}"
    for _ in range(10):
        rig.send_request(value, job)
    rig.await_ends([job])
    for _ in range(10):
        rig.send_request(value, job)
    rig.await_quiet()
    starts = rig.count(job, "started", "infer")
    outcome.expect(starts == 1, f"infer ran {starts} times")
    # The front runs for each request that it reads before the job's marker exists.
    rig.extra_starts = 20


def poison(rig: Rig, outcome: Outcome) -> None:
    """Unreadable records on every topic, before good ones, with headers that are hard to keep."""
    rig.start()
    first = rig.submit()
    rig.await_ends([first])
    sent = 0
    for topic in INTERNAL:
        for value in (b"\xff\xfe", b"{", b"[]", b'{"job_id": 1}', None, b""):
            rig.send(topic, value, None if sent % 2 else b"\xff", HOSTILE)
            sent += 1
    task = next(record for record in rig.records("render.encode") if record.job == first)
    missing = json.loads(task.value or b"") | {"job_id": f"poison-{uuid.uuid4().hex[:8]}"}
    rig.send("render.encode", json.dumps(missing).encode(), missing["job_id"].encode(), HOSTILE)
    altered = json.loads((task.value or b"").replace(first.encode(), first.encode()))
    for output in altered["outputs"].values():
        for ref in output["artifacts"].values():
            ref["sha256"] = "0" * 64
    altered["job_id"] = f"poison-{uuid.uuid4().hex[:8]}"
    rig.send("render.encode", json.dumps(altered).encode(), altered["job_id"].encode(), HOSTILE)
    sent += 2
    for value in (b"\xff", b"{", None):
        rig.send_request(value, f"bad-{uuid.uuid4().hex[:8]}", HOSTILE)
    good = rig.submit("good")
    ends = rig.await_ends([good])
    outcome.expect(ends[good] == "done", f"the good job ended with {ends[good]}")
    rig.await_records("render.dlq", sent)
    letters = rig.records("render.dlq")
    outcome.expect(len(letters) == sent, f"{len(letters)} dead letters of {sent} records")
    ended = sum(rig.fleet.ended(name) for name in rig.fleet.services)
    outcome.expect(ended == 0, f"{ended} services ended")


def oversize(rig: Rig, outcome: Outcome) -> None:
    """Records over our limit are refused with an event or kept as dead letters; over the broker's, nothing is sent."""
    rig.start()
    large = rig.request(labels={f"l{n}": "x" * 60 for n in range(2000)})
    job = f"large-{uuid.uuid4().hex[:8]}"
    rig.send_request(large, job)
    rig.send("render.face", b"x" * 200_000, b"large", HOSTILE)
    rig.send("render.encode", b'{"pad": "' + b"x" * 900_000 + b'"}', b"larger", HOSTILE)
    refused = False
    try:
        rig.send("render.face", b"x" * 1_500_000, b"largest")
    except KafkaException:
        refused = True
    outcome.expect(refused, "the broker took a record of 1.5 MB")
    good = rig.submit()
    ends = rig.await_ends([job, good])
    outcome.expect(ends[good] == "done", f"ends {ends}")
    outcome.expect(ends[job] not in ("done",), f"the large request ended with {ends[job]}")
    rig.await_records("render.dlq", 2)
    ended = sum(rig.fleet.ended(name) for name in rig.fleet.services)
    outcome.expect(ended == 0, f"{ended} services ended")


def mutants(rig: Rig, outcome: Outcome) -> None:
    """Requests, tasks and inputs with random changes: each ends in a known way, and no service dies."""
    rig.start()
    first = rig.submit()
    rig.await_ends([first])
    seeds = {topic: next(r for r in rig.records(topic) if r.job == first) for topic in work_topics(("puppet",))}
    jobs, sent = [], 0
    for number in range(MUTANTS):
        topic = rig.random.choice(list(seeds))
        # Not the job of the seed: a forged record may well change what is known of the job that it names.
        stranger = f"{number:04d}{first[4:]}".encode()
        value = mutate(rig, (seeds[topic].value or b"").replace(first.encode(), stranger))
        if topic == "render.requests":
            jobs.append(f"mutant-{number}-{uuid.uuid4().hex[:6]}")
            rig.send_request(value, jobs[-1])
        else:
            own = [(name, (old or b"").replace(first.encode(), stranger)) for name, old in seeds[topic].headers]
            headers = [(name, mutate(rig, old) if rig.random.random() < 0.2 else old)
                       for name, old in own]  # fmt: skip
            rig.send(topic, value, rig.random.choice([None, b"mutant", mutate(rig, b"mutant")]), headers)
            sent += 1
    from tests.chaos import inputs

    for number in range(4):
        data = [inputs.portrait(), inputs.speech()]
        data[number % 2] = mutate(rig, data[number % 2])
        portrait, speech = (rig.upload(one) for one in data)
        jobs.append(rig.submit("media", rig.request(portrait={"key": portrait}, speech={"key": speech})))
    rig.await_quiet(240)
    known = {e["job_id"] for e in rig.events()}
    outcome.expect(set(jobs) & known, "no mutant was seen")
    ended = sum(rig.fleet.ended(name) for name in rig.fleet.services)
    outcome.expect(ended == 0, f"{ended} services ended")
    classes = {letter.header("__dlq.errors.code") for letter in rig.records("render.dlq")}
    outcome.expect("INTERNAL" not in classes, f"unexpected exceptions: {classes}")
    outcome.figures.append(f"{sent} tasks, {len(jobs)} requests; dead letters of {sorted(map(str, classes))}")


def mutate(rig: Rig, data: bytes) -> bytes:
    """The data with one to four random changes: bytes altered, removed, repeated."""
    changed = bytearray(data)
    for _ in range(rig.random.randint(1, 4)):
        if not changed:
            break
        at = rig.random.randrange(len(changed))
        match rig.random.randrange(4):
            case 0:
                changed[at] = rig.random.randrange(256)
            case 1:
                del changed[at : at + rig.random.randint(1, 20)]
            case 2:
                changed[at:at] = changed[at : at + rig.random.randint(1, 20)]
            case _:
                changed[at:at] = rig.random.choice([b'"', b"{", b"null", b"-1e999", b"\x00", b"[" * 50])
    return bytes(changed)


def forged_traces(rig: Rig, outcome: Outcome) -> None:
    """Requests with two traceparents, malformed ones and a large baggage."""
    rig.start()
    one, two = (f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01".encode() for _ in range(2))
    forged: list[list[Header]] = [
        [("traceparent", one), ("traceparent", two)],
        [("traceparent", b"\xff"), ("tracestate", b"\x00" * 600)],
        [("traceparent", one), ("baggage", b"k=" + b"v" * 10_000)],
        [("TraceParent", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"), ("traceparent", None)],
    ]
    jobs = [rig.submit("forged", headers=headers) for headers in forged]
    ends = rig.await_ends(jobs)
    outcome.expect(set(ends.values()) == {"done"}, f"ends {ends}")
    carried = [r for topic in INTERNAL for r in rig.records(topic) if any(len(v or b"") > 1000 for _, v in r.headers)]
    outcome.expect(not carried, f"the large baggage is carried on by {[str(r) for r in carried]}")


def two_versions(rig: Rig, outcome: Outcome) -> None:
    """Members of the next version, whose tasks have a field that this one does not know, work beside ours."""
    for stage in ("audio", "face", "infer", "encode"):
        rig.fleet.add(stage, 1, CHAOS_BREAK="next version")
    rig.start()
    jobs = [rig.submit() for _ in range(6)]
    ends = rig.await_ends(jobs, 240)
    outcome.expect(set(ends.values()) == {"done"}, f"ends {ends}")
    new = {r.job for topic in INTERNAL for r in rig.records(topic) if "of_the_next_version" in r.body}
    last = {r.job for r in rig.records("render.encode") if "of_the_next_version" in r.body}
    outcome.expect(new, "no member of the next version had a task")
    outcome.expect(new == last, f"the unknown field was dropped for {new - last}")
    outcome.figures.append(f"{len(new)} of {len(jobs)} jobs passed a member of the next version")


ROWS = (
    Row("7", "the same request twenty times", duplicates),
    Row("8", "unreadable records, hostile headers", poison, short=True),
    Row("12", "records over 64 KiB and over 1 MB", oversize),
    Row("18", "mutated requests, tasks and inputs", mutants),
    Row("27", "forged and repeated traceparents", forged_traces),
    Row("28", "two versions side by side", two_versions),
)
