"""Dashboard "Pipeline": does work get done, where does it wait, what is full."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.panels import Limits, Panel, graph, number, page, quantile

TASKS, QUEUE = "lipstage_stage_duration_seconds", "lipstage_task_queue_wait_seconds"
STORE, SPANS = "lipstage_store_request_duration_seconds", "traces_spanmetrics_latency"


def dashboard() -> Dashboard:
    """Rate, errors and duration of each stage; lag and age of what waits; slots, CPU, memory and object store."""
    return page(
        "pipeline",
        "Pipeline",
        "Does work get done, where does it wait, what is full?",
        [
            ("Now", _now()),
            ("Stages: rate, errors, duration", _stages()),
            ("Queues", _queues()),
            ("Saturation", _saturation()),
            ("From traces", _from_traces()),
        ],
    )


def _now() -> list[Panel]:
    return [
        number("Renders a minute", "Renders that ended, in whatever way.", "short",
               "sum(rate(lipstage_renders_total[5m])) * 60"),
        number("Success ratio", "Of the accepted renders of the last hour: those that did not fail or expire. The"
               " target is 99 %.", "percentunit",
               '1 - (sum(increase(lipstage_renders_total{outcome=~"failed|expired"}[1h])) or vector(0))'
               ' / (sum(increase(lipstage_renders_total{outcome!~"rejected|cancelled"}[1h])) > 0)',
               Limits(0.99, 0.95, low_is_bad=True)),
        number("Oldest unprocessed", "Age of the oldest record that no stage has finished.", "s",
               "max(lipstage_oldest_unprocessed_seconds)", Limits(300, 900)),
        number("Records not finished", "Waiting and running records on all topics.", "short",
               "sum(lipstage_consumer_lag)", Limits(100, 1000)),
        number("Busy slots", "Share of all slots that have a task.", "percentunit",
               "sum(lipstage_slots_busy) / sum(lipstage_slots)", Limits(0.8, 0.95)),
        number("Replicas that answer", "Share of the scrape targets that answer.", "percentunit",
               'avg(up{job="lipstage"})', Limits(1, 0.5, low_is_bad=True)),
    ]  # fmt: skip


def _stages() -> list[Panel]:
    return [
        graph("Tasks a second", "Settled records by stage, whatever their outcome.", "ops",
              ("sum by (stage) (rate(lipstage_tasks_total[$__rate_interval]))", "{{stage}}"), stacked=True),
        graph("Failed attempts a second", "Attempts that failed for a reason that is not the user's, by stage and class"
              " of failure. Retried attempts are among them. Empty while there are none.", "ops",
              ("sum by (stage, failure_class) (rate(lipstage_task_failures_total[$__rate_interval])) > 0",
               "{{stage}} {{failure_class}}"), stacked=True),
        graph("Duration of tasks", "Wall time of one task. A dot is one task: it opens its trace.", "s",
              (quantile(0.5, TASKS, "stage"), "{{stage}} P50"), (quantile(0.95, TASKS, "stage"), "{{stage}} P95"),
              exemplars=True),
        graph("Wait in the queue", "From a record's arrival on the broker to the start of its task. A dot opens the"
              " trace.", "s",
              (quantile(0.5, QUEUE, "stage"), "{{stage}} P50"), (quantile(0.95, QUEUE, "stage"), "{{stage}} P95"),
              exemplars=True),
    ]  # fmt: skip


def _queues() -> list[Panel]:
    return [
        graph("Records not finished", "Records that the stage of a topic has not committed, running ones included.",
              "short", ("sum by (topic) (lipstage_consumer_lag)", "{{topic}}"), width=8),
        graph("Oldest unprocessed", "Age of the oldest of them. Lag says little where one record is a minute of work:"
              " this is what a user waits for.", "s",
              ("max by (topic) (lipstage_oldest_unprocessed_seconds)", "{{topic}}"), limits=Limits(300, 900), width=8),
        graph("Longest running task", "Share of the time that a task may take, of the longest one that runs. At 1 it"
              " hangs, and its service is restarted.", "percentunit",
              ("max by (stage) (lipstage_longest_task_seconds / lipstage_task_limit_seconds)", "{{stage}}"),
              limits=Limits(0.5, 0.9), width=8),
    ]  # fmt: skip


def _saturation() -> list[Panel]:
    return [
        graph("Busy slots", "Share of a stage's slots that have a task. At 1 for long: add replicas of that stage.",
              "percentunit",
              ("sum by (stage) (lipstage_slots_busy) / sum by (stage) (lipstage_slots)", "{{stage}}"),
              limits=Limits(0.8, 0.95), width=8),
        graph("CPU", "Cores that a stage uses, worker processes included.", "short",
              ("sum by (stage) (rate(lipstage_cpu_seconds_total[$__rate_interval]))", "{{stage}}"), stacked=True,
              width=8),
        graph("GPU", "GPUs that are at work, by stage and engine. Empty without an engine on a GPU.", "short",
              ("sum by (stage, engine) (rate(lipstage_gpu_seconds_total[$__rate_interval]))", "{{stage}} {{engine}}"),
              stacked=True, width=8),
        graph("Memory of workers", "Resident memory of the worker processes of a stage.", "bytes",
              ("sum by (stage) (lipstage_worker_memory_bytes)", "{{stage}}"), stacked=True, width=8),
        graph("Object store: duration of requests (P95)", "One attempt of an operation. A dot opens the trace.", "s",
              (quantile(0.95, STORE, "operation"), "{{operation}}"), exemplars=True, width=8),
        graph("Object store: bytes a second", "Read from and written to the object store.", "Bps",
              ("sum by (stage, direction) (rate(lipstage_artifact_bytes_total[$__rate_interval]))",
               "{{stage}} {{direction}}"), stacked=True, width=8),
    ]  # fmt: skip


def _from_traces() -> list[Panel]:
    return [
        graph("Messages between stages", "Tasks that one service sent and another received. Made by Tempo of the"
              " traces; empty without Tempo.", "ops",
              ("sum by (client, server) (rate(traces_service_graph_request_total[$__rate_interval]))",
               "{{client}} to {{server}}")),
        graph("Duration of spans (P95)", "By the name of the span: which step of a stage is slow. Made by Tempo of the"
              " traces. A dot opens the trace.", "s",
              (quantile(0.95, SPANS, "span_name", where='{span_name!~"send .*"}'), "{{span_name}}"), exemplars=True),
    ]  # fmt: skip
