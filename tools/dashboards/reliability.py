"""Dashboard "Reliability": what failed, what is tried again, what stands still, who has been told."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.panels import RENDER, Limits, Panel, graph, number, page, rows, states, trace_totals, traces


def dashboard() -> Dashboard:
    """Outcomes, retries, dead letters, circuit breaker, restarts, alerts and the telemetry itself."""
    return page(
        "reliability",
        "Reliability",
        "What failed, what is tried again, what stands still, and which alerts fire?",
        [
            ("Now", _now()),
            ("Outcomes and retries", _outcomes()),
            ("Dead letters, circuit breaker, restarts", _stops()),
            ("Telemetry itself", _telemetry()),
            ("Failed, rejected and retried renders", _renders()),
        ],
    )


def _now() -> list[Panel]:
    return [
        number("Alerts that fire", "Details in the table below.", "short",
               'count(ALERTS{alertstate="firing"}) or vector(0)', Limits(1, 3)),
        number("Failed renders", "Failed or expired in the last hour.", "short",
               'sum(increase(lipstage_renders_total{outcome=~"failed|expired"}[1h])) or vector(0)', Limits(1, 10)),
        number("Dead letters", "Records that were dead-lettered in the last hour: `lipstage dlq ls` explains them.",
               "short", "sum(increase(lipstage_dead_letters_total[1h])) or vector(0)", Limits(1, 10)),
        number("Retries that wait", "Records on the retry topics.", "short",
               "sum(lipstage_retries_waiting) or vector(0)", Limits(20, 200)),
        number("Open circuit breakers", "Replicas that pause because jobs fail for a reason that is not theirs.",
               "short", "sum(lipstage_circuit_breaker_open) or vector(0)", Limits(1, 2)),
        number("Targets down", "Services that Prometheus can't scrape.", "short",
               'sum(1 - up{job="lipstage"}) or vector(0)', Limits(1, 2)),
    ]  # fmt: skip


def _outcomes() -> list[Panel]:
    return [
        graph("Renders by outcome", "Renders that ended, a minute. Rejected: the user's input could not be used."
              " Failed: our fault.", "short",
              ("sum by (outcome) (rate(lipstage_renders_total[$__rate_interval])) * 60", "{{outcome}}"), stacked=True),
        graph("Success ratio", "Of accepted renders, over five minutes and over an hour. The target is 99 %.",
              "percentunit",
              ('1 - (sum(increase(lipstage_renders_total{outcome=~"failed|expired"}[5m])) or vector(0))'
               ' / (sum(increase(lipstage_renders_total{outcome!~"rejected|cancelled"}[5m])) > 0)', "5 minutes"),
              ('1 - (sum(increase(lipstage_renders_total{outcome=~"failed|expired"}[1h])) or vector(0))'
               ' / (sum(increase(lipstage_renders_total{outcome!~"rejected|cancelled"}[1h])) > 0)', "1 hour")),
        graph("Retries that wait", "Records on each retry topic, by its delay.", "short",
              ("sum by (tier) (lipstage_retries_waiting)", "{{tier}}"), stacked=True),
        graph("Retries sent back", "Records that the relay returned to their stage, a minute. If records wait and none"
              " is sent back, the relay does not run.", "short",
              ("sum by (tier) (rate(lipstage_retries_relayed_total[$__rate_interval])) * 60", "{{tier}}"),
              stacked=True),
    ]  # fmt: skip


def _stops() -> list[Panel]:
    return [
        graph("Dead letters", "Records dead-lettered in five minutes, by stage and code. Empty while there are none.",
              "short", ("sum by (stage, code) (increase(lipstage_dead_letters_total[5m])) > 0", "{{stage}} {{code}}"),
              stacked=True),
        states("Circuit breaker", "Red: a replica of the stage starts no records, because jobs fail for a reason that"
               " is not theirs. See its log.",
               "max by (stage) (lipstage_circuit_breaker_open)", "{{stage}}"),
        graph("Starts of worker processes", "In five minutes, by reason. died: a handler crashes, or the kernel kills"
              " for memory. tenant, task: a task waited for its process.", "short",
              ("sum by (stage, reason) (increase(lipstage_worker_process_starts_total[5m])) > 0",
               "{{stage}} {{reason}}")),
        graph("Restarts of services", "In the last hour, by replica.", "short",
              ('sum by (replica) (changes(process_start_time_seconds{job="lipstage"}[1h]))', "{{replica}}")),
        rows("Alerts", "Pending and firing alerts; deploy/prometheus/rules says what to do.", "ALERTS", width=24),
    ]  # fmt: skip


def _telemetry() -> list[Panel]:
    return [
        graph("Spans", "Sent to the collector; failed and dropped ones are missing from traces, never from renders.",
              "ops", ("sum by (result) (rate(lipstage_telemetry_spans_total[$__rate_interval]))", "{{result}}"),
              stacked=True),
        graph("Dropped attributes", "Span attributes that are not on the allow-list.", "ops",
              ("sum(rate(lipstage_telemetry_attributes_dropped_total[$__rate_interval]))", "attributes")),
    ]  # fmt: skip


def _renders() -> list[Panel]:
    return [
        traces("Failed and expired renders", "The public code says whose turn it is; the trace says where it happened.",
               f'{{ {RENDER} && (span.outcome = "failed" || span.outcome = "expired") }} | select(span.render.job,'
               " span.engine, span.outcome, span.error.type, span.attempts, span.replays)"),
        trace_totals("Rejected renders by code", "The user's input could not be used: no fault of ours, unless one code"
                     " suddenly leads.", "short",
                     f'{{ {RENDER} && span.outcome = "rejected" }} | count_over_time() by (span.render.rejection)',
                     width=24),
        traces("Retried tasks", "Tasks that were made again, with the stage and the attempt.",
               '{ resource.service.namespace = "lipstage" && kind = consumer && span.attempt > 1 } | select('
               "resource.service.name, span.render.job, span.attempt, span.error.type)", sort="attempt"),
        traces("Replayed renders", "Sent back from the dead letters; their traces are linked to the first one.",
               f"{{ {RENDER} && span.replays > 0 }} | select(span.render.job, span.engine, span.outcome, span.replays)",
               sort="replays"),
    ]  # fmt: skip
