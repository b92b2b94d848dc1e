"""`make fuzz`: ``python -m tests.fuzz [--minutes 10] [--seed N] [--target audio.wav]``.

The minutes are shared out among the targets. Inputs that fail are in out/fuzz, each with a text that says how.
"""

import argparse
import random
import sys
from pathlib import Path

from tests.fuzz import campaign, guided
from tests.fuzz.targets import GROUPS, targets

SHARE_GUIDED = 0.5
"""Of the time of a target in Python; the rest goes to the mutator that needs no coverage."""


def main() -> int:
    """Fuzz; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--target", default="", help="a group (audio) or a target (audio.wav); default: all")
    parser.add_argument("--findings", type=Path, default=Path("out/fuzz"))
    options = parser.parse_args()
    if options.target and options.target.partition(".")[0] not in GROUPS:
        parser.error(f"no target {options.target!r}; groups: {', '.join(GROUPS)}")
    groups = [g for g in GROUPS if not options.target or options.target.partition(".")[0] == g]
    chosen = {group: targets(options.target or group) for group in groups}
    each = options.minutes * 60 / sum(map(len, chosen.values()))
    print(f"seed {options.seed}, {each:.0f} s for each target")
    reports, runs = [], 0
    for group, found in chosen.items():
        in_python = [target for target in found if target.in_python] if guided.is_installed() else []
        share = SHARE_GUIDED * each * len(in_python)
        reports.append(
            campaign.run(
                options.target or group, options.findings, seed=options.seed, seconds=each * len(found) - share
            )
        )
        for target in in_python:
            number = guided.run(target.name, options.findings, seed=options.seed, seconds=share / len(in_python))
            print(f"{target.name:28} {number:9} inputs, guided by coverage", flush=True)
            runs += number
    print(campaign.table(reports))
    findings = {finding.path: finding for report in reports for finding in report.findings}
    findings |= {finding.path: finding for finding in campaign.saved(options.findings)}
    for finding in findings.values():
        print(f"{finding.target}: {finding.kind}: {finding.path}")
    crashes = sum(report.crashes for report in reports)
    total = sum(report.executions for report in reports) + runs
    print(f"{total} inputs, {crashes} processes ended by an input, {len(findings)} inputs that fail")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
