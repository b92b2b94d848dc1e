"""Row 31: services die while they pass bulk requests on and while they work in the bulk lane."""

from shared.messages.topics import REQUEST_TOPICS
from tests.chaos.rig import Rig
from tests.chaos.rows.table import Outcome, Row

KILLS = ("audio.settle", "face.after_put", "infer.work", "encode.after_publish")
"""The first: a request is on the bulk topic, and its record on the interactive one is not committed."""


def killed_in_the_bulk_lane(rig: Rig, outcome: Outcome) -> None:
    """Bulk requests on the interactive topic, beside interactive ones of the same and of another tenant's quota."""
    killed = rig.folder / "killed"
    killed.mkdir()
    rig.start(";".join(f"{place}=kill,job=bulk-*,once={killed / place}" for place in KILLS), LIPSTAGE_TENANT_QUOTA="3")
    bulk = [rig.submit("bulk", rig.request(lane="bulk")) for _ in range(3)]
    people = [rig.submit("people") for _ in range(6)]
    rig.await_ends([*bulk, *people], 240)
    missing = set(KILLS) - {path.name for path in killed.iterdir()}
    outcome.expect(not missing, f"not killed at {sorted(missing)}")
    plain, passed_on = (rig.records(topic) for topic in REQUEST_TOPICS)
    copies = {job: sum(record.job == job for record in passed_on) for job in (*bulk, *people)}
    outcome.expect(all(copies[job] for job in bulk), f"a bulk request was not passed on: {copies}")
    outcome.expect(
        sum(copies[job] for job in bulk) > len(bulk), "the record of the killed audio was not delivered again"
    )
    outcome.expect(sum(copies[job] > 0 for job in people) >= 2, "the quota of three moved nobody")
    outcome.expect(len(plain) == len(bulk) + len(people), "a request came back to the interactive topic")
    lanes = {record.job for record in rig.records("render.encode.bulk")}
    outcome.expect(set(bulk) <= lanes, f"bulk jobs that left their lane: {sorted(set(bulk) - lanes)}")
    outcome.figures.append(f"{sum(copies.values())} copies of {sum(count > 0 for count in copies.values())} requests")


ROWS = (
    Row(
        "31", "SIGKILL of each service in the bulk lane, tenants over their quota", killed_in_the_bulk_lane, short=True
    ),
)
