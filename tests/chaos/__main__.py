"""`make chaos`: every row on a stack of its own: ``python -m tests.chaos [--seed N] [--rows 1,2,9] [--short]``."""

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.local import stack as local
from shared.local.settings import LocalSettings
from tests.chaos.rows.all_rows import ROWS
from tests.chaos.runner import run_all
from tests.conftest import ROOT, Infrastructure


@contextmanager
def infrastructure(folder: Path) -> Iterator[Infrastructure]:
    """Broker, object store and trace receiver in ``folder``; the clients of this process use them."""
    jars = Path(os.environ.get("LIPSTAGE_JARS_DIR", ROOT / ".lipstage" / "jars"))
    settings = LocalSettings(
        state_dir=folder, jars_dir=jars, kafka_bootstrap_servers="", s3_endpoint_url="", otlp_endpoint=""
    )
    started = local.up(settings, services=False)
    try:
        environment = started.environment(local.credentials_of(started))
        os.environ.update(environment)
        yield Infrastructure(settings, started, environment)
    finally:
        local.down(settings, purge=True)


def main() -> int:
    """Run the rows; 0 when all are ok."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--rows", default="", help="numbers, comma-separated; default: all")
    parser.add_argument("--short", action="store_true", help="only the rows that `make test` runs")
    parser.add_argument("--keep", type=Path, help="folder for the logs of the services; kept")
    options = parser.parse_args()
    wanted = [number for number in options.rows.split(",") if number]
    if unknown := set(wanted) - {row.number for row in ROWS}:
        parser.error(f"there is no row {', '.join(sorted(unknown))}")
    rows = [row for row in ROWS if (row.number in wanted if wanted else row.short or not options.short)]
    folder = options.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    with infrastructure(folder / "stack") as parts:
        results = run_all(rows, parts, folder / "rows", options.seed)
    failed = [result.row.number for result in results if not result.ok]
    print(f"seed {options.seed}: {len(results)} rows, {'all ok' if not failed else 'failed: ' + ', '.join(failed)}")
    if options.keep is None and not failed:
        shutil.rmtree(folder, ignore_errors=True)
    elif failed:
        print(f"logs of the services: {folder / 'rows'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
