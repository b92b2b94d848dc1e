"""All benchmarks whose records are kept: how each is run, and the code that its figures depend on.

``python -m bench`` runs them, ``bench.record`` stores the digest of ``measures`` in each record, and
``tools.performance_page`` writes docs/performance.md from the records.
"""

from dataclasses import dataclass

RUNTIME = ("shared/runtime", "shared/slot", "shared/storage", "shared/messages", "shared/telemetry")
LOCAL = "shared/local"
CLIENT = "shared/client"
ALL = ("shared", "stages")
MEMBERS = ("bench/group.py", "bench/member.py")
ONE_STAGE = ("bench/one_stage.py", "bench/one_stage_handler.py")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark."""

    meaning: str
    """What it measures."""
    measures: tuple[str, ...]
    """Files and folders that its figures depend on, its own code included."""
    full: tuple[str, ...] = ()
    """Options of the run whose record is kept."""
    quick: tuple[str, ...] = ()
    """Options of a run that only shows that it works."""
    target: str = ""
    package: str = ""
    """The module to run where it is not ``bench.NAME``."""
    environment: str = ".venv"
    """Its Python's environment; others than ``.venv`` may be missing."""
    by_hand: str = ""
    """Why ``python -m bench`` does not run it unless it is named."""

    def module(self, name: str) -> str:
        """The module that the benchmark with this name is run by."""
        return self.package or f"bench.{name}"


CATALOGUE = {
    "throughput": Benchmark(
        "a batch of 10 s renders at 512 and one alone: the pipeline against the same handlers in plain processes; CPU"
        " seconds by part, requests and bytes",
        (*ALL, "bench/throughput.py", "bench/stack_of.py", "bench/handlers_process.py", "bench/checkout"),
        quick=("--jobs", "2", "--alone", "1", "--size", "256"),
        target="batch >= 0.75, alone >= 1.0",
    ),
    "peers": Benchmark(
        "the same handlers under Celery, Dramatiq, a plain Kafka loop and Faust, and under the pipeline: videos a"
        " minute and CPU",
        (*ALL, "bench/peers", "bench/stack_of.py", "bench/checkout", "requirements/bench.txt"),
        quick=("--jobs", "2", "--size", "256"),
        target="within 10 % of Celery or better",
    ),
    "peers_kills": Benchmark(
        "what a SIGKILL of a worker in the middle of a task loses: each peer's defaults, its settings against losses,"
        " and the pipeline",
        ("shared/runtime", "bench/peers", "bench/stack_of.py", "bench/checkout", "requirements/bench.txt"),
        quick=("--jobs", "4", "--peers", "kafka_loop"),
        target="none lost",
        package="bench.peers.kills",
    ),
    "overlap": Benchmark(
        "encode beside infer: seconds from infer's end to the video, with and without, and until a preview plays",
        (*ALL, "bench/overlap.py", "bench/stack_of.py"),
        quick=("--jobs", "1", "--size", "256"),
        target="tail 4 times shorter",
    ),
    "realtime": Benchmark(
        "seconds of video per second from submit to done, one job at a time, engine puppet at 512 and 768, nothing"
        " cached",
        (*ALL, "bench/realtime.py"),
        quick=("--jobs", "1"),
        target=">= 2.5, >= 1.0 on two cores",
    ),
    "batch": Benchmark(
        "a batch of 2000 short jobs by the command line: jobs a minute, CPU a job, memory over time, bytes left",
        (*ALL, "bench/batch.py", "bench/stack_of.py"),
        quick=("--jobs", "4"),
        target="reported",
    ),
    "presenter": Benchmark(
        "one portrait with many texts of 2 s at 512, against the same texts with a portrait each",
        (*ALL, "bench/presenter.py", "bench/batch.py", "bench/stack_of.py"),
        quick=("--jobs", "2", "--size", "256", "--seconds", "1"),
        target=">= 1.4",
    ),
    "hop": Benchmark(
        "the pipeline against the same handlers in one process, one job in flight: milliseconds that each hop adds",
        (*RUNTIME, LOCAL, CLIENT, "bench/hop.py", "bench/echo.py", "bench/processes_cpu.py", "bench/store_requests.py"),
        quick=("--jobs", "5"),
        target="four hops with 1 KiB: p50 <= 90 ms",
    ),
    "starting": Benchmark(
        "how long `config`, `status` and `job` take to answer, a service to be ready, and the local stack to be up",
        (*ALL, "bench/starting.py", "bench/stack_of.py"),
        quick=("--rounds", "1", "--starts", "1"),
        target="each command <= 0.35 s",
    ),
    "frames": Benchmark(
        "codecs for the frames between infer and encode: CPU a frame, bytes, exactness, on the puppet's frames and with"
        " noise",
        ("shared/slot/frames", "stages/infer", "bench/frames.py"),
        quick=("--resolution", "256", "--rounds", "1"),
        target="h264-lossless exact and >= 10 times smaller",
    ),
    "lanes": Benchmark(
        "interactive jobs under bulk load, and a tenant beside one with 100 times as many jobs: simulated with the four"
        " stages, and measured with two members and tasks that sleep",
        ("shared/runtime", "shared/messages", "bench/lanes.py", "bench/simulated_lanes.py"),
        quick=("--simulated",),
        target="p99 of interactive jobs under bulk load <= 2 times that without",
    ),
    "encode": Benchmark(
        "the encode stage's writer against a plain PyAV loop with the same settings, CPU seconds",
        ("stages/encode", "bench/encode.py"),
        quick=("--seconds", "0.4", "--rounds", "2"),
        target="reported",
    ),
    "confinement": Benchmark(
        "renders by the four worker processes, confined against unconfined, in turns; until a worker process is ready",
        ("shared/slot", "shared/runtime/execute", "stages", "bench/confinement.py", "bench/worker_render.py"),
        quick=("--rounds", "1", "--size", "256", "--starts", "1"),
        target="unconfined / confined >= 0.97, equal bytes",
    ),
    "marks": Benchmark(
        "what a video's marks cost: the encode stage's writer with AIGC field, C2PA manifest and visible label, each"
        " against without, CPU",
        ("stages/encode", "shared/runtime/execute/claim_signer.py", "bench/marks.py", "bench/encode.py"),
        quick=("--seconds", "0.4", "--rounds", "2"),
        target="c2pa <= 40 ms a video",
    ),
    "routing": Benchmark(
        "tasks of known length (they sleep) by number of members: least-loaded, round-robin and key hashing against"
        " the ideal",
        ("shared/runtime", "bench/routing.py", *MEMBERS),
        full=("--members", "2", "4", "8", "16"),
        quick=("--members", "2", "--tasks", "4"),
        target="least-loaded >= 0.95",
    ),
    "rebalance_storm": Benchmark(
        "8 members, one restarted every 2 s for 30 s, against a calm group; KIP-848 and classic",
        ("shared/runtime", "bench/rebalance_storm.py", *MEMBERS),
        quick=("--members", "2", "--seconds", "6"),
        target="KIP-848 >= 0.70, repeated starts <= bounces, none lost",
    ),
    "recover": Benchmark(
        "SIGKILL of a member until its task runs at another one; death of a worker process until its task runs again",
        ("shared/runtime", "bench/recover.py", *MEMBERS, *ONE_STAGE),
        quick=("--rounds", "1"),
        target="session timeout + 5 s; <= 1 s",
    ),
    "fresh_workers": Benchmark(
        "a hop of tasks whose tenants alternate, with a worker process for each tenant or task against one for all, in"
        " turns; audio and face on the samples in used and in new processes; start and memory of a process",
        (*RUNTIME, "stages/audio", "stages/face", "bench/fresh_workers.py", *ONE_STAGE),
        quick=("--tasks", "6", "--rounds", "1", "--runs", "2"),
        target="a hop grows by <= 10 ms at the median",
    ),
    "poison": Benchmark(
        "the delay of a good job behind a record that can't be read; throughput with one such record in ten",
        (*RUNTIME, "bench/poison.py", *ONE_STAGE),
        quick=("--jobs", "20"),
        target="<= 1 s; >= 0.95",
    ),
    "duplicate": Benchmark(
        "a finished task that is delivered again: until its result is sent on again",
        (*RUNTIME, "bench/duplicate.py", *ONE_STAGE),
        quick=("--jobs", "5"),
        target="p50 <= 25 ms, 0 further runs",
    ),
    "dlq_replay": Benchmark(
        "dead letters that `dlq replay` sends back each second, untraced and traced, against a plain produce loop",
        ("shared/client", "shared/runtime", "shared/messages", "bench/dlq_replay.py"),
        quick=("--count", "500"),
        target=">= 5000/s; >= 2000/s",
    ),
    "tracing": Benchmark(
        "a stage with tasks of 100 ms, traced at 100 %, 10 % and not at all, and with a collector that refuses or never"
        " answers, in turns: throughput, CPU of a task, seconds until the process ends",
        (*RUNTIME, "bench/tracing.py", *ONE_STAGE),
        quick=("--rounds", "1", "--tasks", "5"),
        target=">= 0.99, away >= 0.98, at most 3 s more",
    ),
    "projection": Benchmark(
        "the job-state projection: seconds of a rebuild from the events and of a restart, memory, milliseconds of its"
        " answers beside a scan",
        ("stages/gateway", "shared/client", "shared/messages", "bench/projection.py"),
        full=("--events", "4"),
        quick=("--jobs", "500"),
        target="reported",
    ),
    "gateway": Benchmark(
        "2000 submits beside 200 watchers of event streams: p50, p95 and p99 of a submit, submits a second against the"
        " client library in a loop, until an end has reached its watcher, what was lost; then 10 000 connections that"
        " ask for an event stream",
        (
            "stages/gateway",
            "shared/client",
            "shared/messages",
            "bench/gateway.py",
            "bench/crowd.py",
            "bench/projection.py",
        ),
        full=("--crowd", "10000"),
        quick=("--watchers", "5", "--submits", "20", "--crowd", "600"),
        target="none lost, p95 <= 250 ms; each of the 10 000 answered",
    ),
    "autoscale_service_times": Benchmark(
        "seconds of each stage for a task, by the length of the video",
        (*ALL, "bench/autoscale/service_times.py"),
        quick=("--jobs", "1"),
        target="reported: [autoscaling](autoscaling.md#values)",
        package="bench.autoscale.service_times",
    ),
    "autoscale_day": Benchmark(
        "a simulated day under KEDA's and the HPA's rules: replicas, waits, GPU hours",
        ("bench/autoscale",),
        quick=("--no-sweep",),
        target="reported: [autoscaling](autoscaling.md#a-simulated-day)",
        package="bench.autoscale.day",
    ),
    "autoscale_demo": Benchmark(
        "real replicas of infer by the lag of 40 jobs, 0 -> n -> 0, against a fixed number",
        (*RUNTIME, "bench/autoscale"),
        target="none lost, one video a job",
        package="bench.autoscale.demo",
        by_hand="five minutes: `make autoscale-demo`",
    ),
    "alerts": Benchmark(
        "the fault of every alert, with times divided by 300: until the alert fires, and until it resolves",
        ("deploy/prometheus", "shared/runtime", "shared/telemetry", "bench/alerts.py", "bench/monitored.py"),
        target="every alert fires and resolves",
        by_hand="it needs Prometheus",
    ),
    "quality": Benchmark(
        "sync, lip closures and quality over 7 voices in 6 languages x 3 portraits, with control experiments and the"
        " cost of the encode stage's quality sample",
        ("stages", "bench/quality.py", "bench/controls.py", "bench/films.py"),
        target="sample <= 10 % of the render's time",
        by_hand="it renders 21 videos and keeps them in out/quality",
    ),
    "versions": Benchmark(
        "the services of two checkouts in turns, measured by one client: wall seconds of a job, and what of them is"
        " outside the four stages",
        (*ALL, "bench/versions.py", "bench/realtime.py"),
        target="ratio >= 0.98",
        by_hand="it needs another checkout: `--baseline CHECKOUT`",
    ),
    "sonic": Benchmark(
        "the engine sonic: a plain loop against each optimization, decoding, memory limits, start-up",
        ("stages/infer/sonic", "bench/sonic"),
        target=">= 2 x plain, >= 1.25 x sdpa, <= 60 % of its memory: [sonic](sonic.md#speed-and-memory)",
        environment=".venv-sonic",
        by_hand="on a GPU only",
    ),
    "sonic_card": Benchmark(
        "what only a GPU can show of the engine sonic: parity on CUDA, a resumed render, the codec beside the GPU loop,"
        " cold start, memory under caps",
        ("stages/infer", "shared/slot", "bench/sonic"),
        target="GPU idle share <= 2 %, a resumed render bit-identical",
        package="bench.sonic.card",
        environment=".venv-sonic",
        by_hand="on a GPU only",
    ),
}
