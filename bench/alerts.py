"""Every alert with its fault: it fires in a run, and resolves once the fault is gone.

    .venv/bin/python -m bench.alerts [SCENARIO...] [--json FILE]

Starts a broker and an object store of its own, an encode service whose jobs say how they end, a relay, and Prometheus
(on PATH, or named by LIPSTAGE_PROMETHEUS_BIN) with the rules of deploy/prometheus/rules, whose times are divided by
300. Takes about five minutes; scenarios are methods of `Run`, such as ``quality``. ``missing`` in the record are the
alerts that have not fired and resolved. Exit status 1 when an alert does not fire or does not resolve.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.monitored import FACTOR, RULES, Prometheus, Services, monitored, until
from bench.record import emit
from bench.short_rules import read_yaml
from shared.local import broker, ports, stack
from shared.local.settings import LocalSettings
from shared.local.stack_file import Stack

PREFIX = "alerts."
SCENARIOS = ("quality", "failures", "breaker", "stuck", "retries", "telemetry")
"""After the first one, which starts the services."""
RETRIES = {"LIPSTAGE_MAX_ATTEMPTS": "3"}
Row = dict[str, str | float]


class Run:
    """One run; each method is a scenario, which leaves no fault behind."""

    def __init__(self, services: Services, prometheus: Prometheus, broker_pid: int) -> None:
        self._services = services
        self._broker = broker_pid
        self._prometheus = prometheus
        self.rows: list[Row] = []

    def _alerts(self, fault: str, *names: str, end: Callable[[], object] = lambda: None) -> None:
        """Wait until each alert has fired, end the fault, wait until all have resolved."""
        fired = self._times(names, lambda name, firing: name in firing, "fires")
        end()
        resolved = self._times(names, lambda name, firing: name not in firing, "resolves")
        for name in names:
            self.rows.append({"alert": name, "fault": fault, "fired_s": fired[name], "resolved_s": resolved[name]})
            print(self.rows[-1], file=sys.stderr)

    def _times(
        self, names: Sequence[str], reached: Callable[[str, Mapping[str, object]], bool], what: str
    ) -> dict[str, float]:
        """Seconds until each alert has reached a state."""
        times: dict[str, float] = {}
        start = time.monotonic()

        def all_reached() -> bool:
            firing = self._prometheus.firing()
            for name in names:
                if reached(name, firing):
                    times.setdefault(name, round(time.monotonic() - start, 1))
            return len(times) == len(names)

        until(all_reached, f"{' and '.join(set(names) - set(times))} {what}")
        return times

    def target_down(self) -> None:
        self._services.start("encode")
        self._services.start("relay")
        self._prometheus.resolves("LipstageTargetDown")
        self._services.kill("relay")
        self._alerts("SIGKILL of the relay", "LipstageTargetDown", end=lambda: self._services.start("relay"))

    def failures(self) -> None:
        names = "LipstageDeadLetters", "LipstageRendersFailFast", "LipstageRendersFailSlowly"
        with ExitStack() as jobs:
            jobs.enter_context(self._jobs("fail", "done", "done"))
            self._alerts("a third of the jobs raise an exception, and get one attempt", *names, end=jobs.close)

    @contextmanager
    def _jobs(self, *kinds: str) -> Iterator[None]:
        """In the block, a job of each kind arrives, again and again."""
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                for kind in kinds:
                    self._services.send(kind)
                stop.wait(0.5)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def quality(self) -> None:
        self._services.send("drift", 6)
        self._services.send("ugly", 6)
        fault = "half of the videos have lips 250 ms late, half a quality of 0.2"
        self._alerts(fault, "LipstageDrift", "LipstageQualityLow")

    def breaker(self) -> None:
        self._services.send("fail", 8)
        self._prometheus.fires("LipstageBreakerOpen")
        self._services.send("done", 3)
        fault = "eight jobs in a row raise an exception; jobs wait until a probe succeeds"
        self._alerts(fault, "LipstageBreakerOpen", "LipstageQueueOld")

    def stuck(self) -> None:
        self._services.kill("encode")
        self._services.start("encode", LIPSTAGE_FAULTS="encode.settle=delay=30,job=hang-*")
        self._services.send("done", 1, "hang")
        self._alerts("a task stays in its slot, past the limit of a task", "LipstageStageStuck")

    def retries(self) -> None:
        self._services.kill("relay")
        self._services.kill("encode")
        self._services.start("encode", **RETRIES)
        self._services.send("fail", 2)
        fault = "retries without a relay"
        self._alerts(fault, "LipstageRelayMissing", end=lambda: self._services.start("relay"))
        self._services.send("fail")
        until(lambda: bool(self._prometheus.query("lipstage_retry_oldest_overdue_seconds < 0")), "a retry waits")
        os.kill(self._broker, signal.SIGSTOP)
        fault = "the broker is frozen when a retry is due"
        self._alerts(fault, "LipstageRetriesOverdue", end=lambda: os.kill(self._broker, signal.SIGCONT))

    def telemetry(self) -> None:
        (port,) = ports.pick(1)
        self._services.kill("encode")
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        self._services.start("encode", **variables)
        server: list[ThreadingHTTPServer] = []
        with self._jobs("done"):
            self._alerts("no collector", "LipstageTelemetryLost", end=lambda: server.append(_collector(port)))
        server[0].shutdown()


def _collector(port: int) -> ThreadingHTTPServer:
    """A collector that takes everything and keeps nothing."""

    class Accept(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", port), Accept)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _process_of(started: Stack, name: str) -> int:
    """The process id of a part of the stack."""
    (program,) = [one for one in started.supervisor().programs() if one.name == name]
    return program.pid


def alerts() -> set[str]:
    """The names of all alerts."""
    files = [read_yaml(path) for path in RULES.glob("*.yaml")]
    return {rule["alert"] for file in files for group in file["groups"] for rule in group["rules"] if "alert" in rule}


def main() -> int:
    program = os.environ.get("LIPSTAGE_PROMETHEUS_BIN") or shutil.which("prometheus")
    if program is None:
        raise SystemExit("no prometheus on PATH, and LIPSTAGE_PROMETHEUS_BIN names none")
    with TemporaryDirectory() as temporary:
        state = Path(temporary) / "state"
        settings = LocalSettings(state_dir=state, jars_dir=LocalSettings().jars, topic_prefix=PREFIX)
        (folder := Path(temporary) / "run").mkdir()
        try:
            started = stack.up(settings, services=False)
            environment = {
                **started.environment(stack.credentials_of(started)),
                "LIPSTAGE_TOPIC_PREFIX": PREFIX,
                "LIPSTAGE_CACHE_KEY": os.urandom(16).hex(),
                "LIPSTAGE_MAX_ATTEMPTS": "1",
                "LIPSTAGE_RETRY_TIERS": "10s,1m,10m",
            }
            with monitored(environment, program, folder) as (services, prometheus):
                run = Run(services, prometheus, _process_of(started, broker.NAME))
                chosen = {name for name in SCENARIOS if name in sys.argv[1:]} or set(SCENARIOS)
                run.target_down()
                for name in SCENARIOS:
                    if name not in chosen:
                        continue
                    try:
                        getattr(run, name)()
                    except TimeoutError as e:
                        print(f"{name}: {e}", file=sys.stderr)
        finally:
            stack.down(settings, purge=True)
    missing = sorted(alerts() - {str(row["alert"]) for row in run.rows})
    emit("alerts", {"factor": FACTOR, "alerts": run.rows, "missing": missing})
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
