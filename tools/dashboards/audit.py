"""Dashboard "Audit": who used what. From traces, so an index; `lipstage audit` is the record."""

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.panels import RENDER, Panel, page, trace_graph, trace_totals, traces

SELECT = (
    "select(span.render.date, span.render.job, span.tenant, span.tenant.department, span.owner.hash, span.engine,"
    " span.outcome, span.error.type, span.video.duration_s, span.gpu.seconds, span.cpu.seconds)"
)
NOTE = "Traces are sampled and expire after 14 days; `lipstage audit` answers from the records of the jobs."


def dashboard() -> Dashboard:
    """Renders, seconds of hardware and outcomes by department and by owner; the renders of one of them."""
    made = page(
        "audit",
        "Audit",
        f"Who used what: by department and by the keyed hash of the owner. {NOTE}",
        [
            ("Departments", _departments()),
            ("Owners", _owners()),
            ("Renders of a department or an owner", _list()),
        ],
    )
    return (
        made.time("now-24h", "now")
        .with_variable(
            builders.TextBoxVariable("department")
            .label("Department")
            .description("Regular expression of the departments in the last section")
            .default_value(".*")
        )
        .with_variable(
            builders.TextBoxVariable("owner")
            .label("Owner hash")
            .description(
                "Regular expression of the owners' hashes in the last section; `lipstage audit --owner` prints one"
            )
            .default_value(".*")
        )
    )


def _sum(key: str, by: str) -> str:
    """The sum of an attribute. Spans without it are left out: when one is the first, Tempo answers nothing."""
    return f"{{ {RENDER} && span.{key} > 0.0 }} | sum_over_time(span.{key}) by (span.{by})"


def _departments() -> list[Panel]:
    return [
        trace_totals("Renders by department", f"By department and outcome, in the time range. {NOTE}", "short",
                     f"{{ {RENDER} }} | count_over_time() by (span.tenant.department, span.outcome)"),
        trace_totals("GPU seconds", "By department. Empty without an engine on a GPU.", "s",
                     _sum("gpu.seconds", "tenant.department")),
        trace_totals("Seconds of video", "By department.", "s",
                     _sum("video.duration_s", "tenant.department")),
        trace_graph("Renders over time", "By department.", "short",
                    f"{{ {RENDER} }} | count_over_time() by (span.tenant.department)", width=24),
    ]  # fmt: skip


def _owners() -> list[Panel]:
    return [
        trace_totals("Renders by owner", "By owner hash: the owner's name is in no trace.", "short",
                     f"{{ {RENDER} }} | count_over_time() by (span.owner.hash)"),
        trace_totals("CPU seconds", "By owner hash.", "s",
                     _sum("cpu.seconds", "owner.hash")),
        trace_totals("Renders by tenant and day", "By tenant and day of submission, UTC.", "short",
                     f"{{ {RENDER} }} | count_over_time() by (span.tenant, span.render.date)"),
    ]  # fmt: skip


def _list() -> list[Panel]:
    return [
        traces("Renders of the department", "Choose the department above: `.*` shows all renders that name one.",
               f'{{ {RENDER} && span.tenant.department =~ "$department" }} | {SELECT}'),
        traces("Renders of the owner", "Choose the owner's hash above: `.*` shows all renders that name an owner.",
               f'{{ {RENDER} && span.owner.hash =~ "$owner" }} | {SELECT}'),
    ]  # fmt: skip
