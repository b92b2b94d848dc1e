"""What `erase` prints: what was deleted, and what stays until when."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from shared.cli import console
from shared.client import Purged
from shared.client.job_key import JobKey
from shared.client.purge_plan import PurgePlan
from shared.client.purged_objects import OTHER_INPUTS, OUTPUT_BUCKET, Count
from shared.messages.topics import JOBS

KEPT = {OUTPUT_BUCKET: "deletion refused", OTHER_INPUTS: "of other clients"}
"""Why an erasure keeps objects of a class."""
IDS_SHOWN = 5
COLUMNS = 60


def job(key: JobKey, purged: Purged, as_json: bool) -> None:
    """Print the result of one job."""
    if as_json:
        console.emit_json({"job_id": key.job_id, "tenant": key.tenant, **asdict(purged)})
        return
    console.say(f"job {key.job_id} erased")
    _counts(purged.deleted, purged.kept)
    if not purged.deleted:
        console.say("  deleted nothing: no object was left")
    if not purged.dead_letters_read:
        console.note("not every dead letter was read: there may be more of this job, and their values in the bucket")
    staying(purged, purged.dead_letters)
    if not purged.event_published:
        console.note("the broker did not take the event `purged`: `lipstage jobs` shows the job as before")


def rest(tenant: str, deleted: Mapping[str, Count], kept: Mapping[str, Count], as_json: bool) -> None:
    """Print what was deleted beside jobs."""
    if as_json:
        counts = {"deleted": deleted, "kept": kept}
        named = {title: {name: asdict(one) for name, one in found.items()} for title, found in counts.items()}
        console.emit_json({"job_id": None, "tenant": tenant, **named})
        return
    console.say(f"objects of no known job of the tenant {tenant}")
    _counts(deleted, kept)


def plan_as_json(plans: Sequence[PurgePlan]) -> dict[str, object]:
    """What would be erased, for a script."""
    return {
        "dry_run": True,
        "jobs": [asdict_of(one) for plan in plans for one in plan.jobs],
        "not_ended": sum(plan.not_ended for plan in plans),
        "objects": sum(plan.objects.objects for plan in plans),
        "bytes": sum(plan.objects.bytes for plan in plans),
        "cached": sum(len(plan.cached) for plan in plans),
        "uploads": sum(len(plan.uploads) for plan in plans),
        "quotas": sum(plan.quotas for plan in plans),
        "webhooks": sum(plan.webhooks for plan in plans),
        "unknown": [asdict_of(one) for plan in plans for one in (*plan.unknown_owner, *plan.unknown_inputs)],
    }


def asdict_of(key: JobKey) -> dict[str, str]:
    """A job's whole name."""
    return {"job_id": key.job_id, "tenant": key.tenant}


def staying(purged: Purged, dead_letters: Sequence[str]) -> None:
    """Print what stays of a job, or of several, and until when."""
    if dead_letters:
        more = f" and {len(dead_letters) - IDS_SHOWN} more" if len(dead_letters) > IDS_SHOWN else ""
        _kept(f"the records of dead letters {', '.join(dead_letters[:IDS_SHOWN])}{more}")
    _kept("a record of the erasure, and that the job was purged; they hold no data of the user")
    if purged.versions_unchecked:
        _kept(f"old versions in {', '.join(purged.versions_unchecked)}, if any: these credentials can't read them")
    if not purged.records_until:
        _kept(f"until their retention the records on {', '.join(purged.records_kept)}")
    for until, topics in _by_day(purged.records_until):
        of = "what was said of the job on" if topics == [JOBS] else "records on"
        _kept(f"until {until}: {of} {', '.join(topics)}")


def _by_day(records_until: Mapping[str, int | None]) -> Iterable[tuple[str, list[str]]]:
    """The topics by the last day of their records, the projection's by itself: a newer state replaces those."""
    days: dict[tuple[str, bool], list[str]] = {}
    for topic, ms in records_until.items():
        day = "ever" if ms is None else f"{datetime.fromtimestamp(ms / 1000, UTC).date()}"
        days.setdefault((day, topic == JOBS), []).append(topic)
    return [(day, topics) for (day, _), topics in sorted(days.items())]


def _counts(deleted: Mapping[str, Count], kept: Mapping[str, Count]) -> None:
    for title, counts in (("deleted", deleted), ("kept", kept)):
        for name, count in sorted(counts.items()):
            why = f"  {KEPT[name]}" if title == "kept" and name in KEPT else ""
            console.say(f"  {title:<8}{name:<16}{count.objects:>5} {size_text(count.bytes):>9}{why}")


def _kept(text: str) -> None:
    for number, part in enumerate(textwrap.wrap(text, COLUMNS - 10, break_long_words=False, break_on_hyphens=False)):
        console.say(f"  {'kept' if number == 0 else '':<8}{part}")


def size_text(number: int) -> str:
    """A number of bytes: ``512 B``, ``1.5 MB``."""
    size = float(number)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
