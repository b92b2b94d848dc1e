"""A replay as the tests ask for it: its options, its plan and its run."""

from typing import Any

from shared.client import Client, DeadLetterFilter, Plan, Replayed, ReplayOptions
from shared.client.dead_letters.plan import Verdict
from shared.client.dead_letters.rewriting import Rewriter


def options(client: Client, chosen: DeadLetterFilter | None = None, **more: Any) -> ReplayOptions:
    rewriter = Rewriter(client.settings.topic_prefix, **more.pop("changes", {}))
    return ReplayOptions(chosen or DeadLetterFilter(), rewriter, by="tester@here", **more)


def replayed(client: Client, chosen: DeadLetterFilter | None = None, **more: Any) -> tuple[Plan, Replayed]:
    replay = client.replay(options(client, chosen, **more))
    plan = replay.plan()
    return plan, replay.run(plan.work)


def counts(plan: Plan) -> dict[Verdict, int]:
    return {verdict: number for verdict, number in plan.counts.items() if number}
