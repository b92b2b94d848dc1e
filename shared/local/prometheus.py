"""Prometheus beside the local stack: scrapes every service and part, evaluates the recording and alert rules."""

import json
import shutil
from pathlib import Path

from shared.local.configurations import configuration, digest
from shared.local.errors import StackCode
from shared.local.ports import HOST
from shared.local.program import Program
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack

NAME = "prometheus"
COMMANDS = ("prometheus",)
PORTS = ("prometheus",)
READY = "/-/ready"
FAILED = StackCode.PROMETHEUS_FAILED
WITHOUT = "there are no metrics over time, dashboards and alerts"
SCRAPE_S = 5
"""Seconds between two scrapes of a target: someone who watches one render waits for it."""


def program(settings: LocalSettings, stack: Stack) -> Program:
    """Prometheus's program. Copies the configuration and the rules to the state folder, beside the targets."""
    folder = settings.state / "prometheus"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    source = configuration("prometheus/prometheus.yaml")
    rules = source.parent / "rules"
    shutil.copyfile(source, folder / source.name)
    shutil.rmtree(folder / "rules", ignore_errors=True)
    if rules.is_dir():
        shutil.copytree(rules, folder / "rules")
    argv = (
        str(stack.programs[NAME]),
        f"--config.file={folder / source.name}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=15d",
        f"--web.listen-address={HOST}:{stack.ports['prometheus']}",
        "--web.enable-remote-write-receiver",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    )
    return Program(NAME, argv, {"CONFIGURATION": digest(source, *sorted(rules.glob("*.yaml")))}, stop_seconds=10)


def write_targets(stack: Stack) -> None:
    """Write the addresses that a Prometheus scrapes, this one or one of the user's own."""
    services = [
        _target(record.health_port, service="-".join(filter(None, (record.stage, record.engine))), replica=record.name)
        for record in stack.services
    ]
    parts = [_target(stack.ports[name], part=name) for name in stack.programs]
    folder = stack.state_dir / "prometheus" / "targets"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "services.json", services)
    _write(folder / "observability.json", parts)


def _target(port: int, **labels: str) -> dict[str, object]:
    """One target. Prometheus refuses an interval below the timeout, which is 10 s by default."""
    pace = {"__scrape_interval__": f"{SCRAPE_S}s", "__scrape_timeout__": f"{SCRAPE_S}s"}
    return {"targets": [f"{HOST}:{port}"], "labels": {**labels, **pace}}


def _write(path: Path, targets: list[dict[str, object]]) -> None:
    """Atomically: Prometheus reads a file as soon as it changes."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(targets, indent=1))
    temporary.replace(path)
