"""The few kinds of panels that the dashboards have, with the look that all of them share."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, statetimeline, table, tempo, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    DataSourceRef,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataTransformerConfig,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.tempo import MetricsQueryType, SearchTableType

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="lipstage-prometheus")
TEMPO = DataSourceRef(type_val="tempo", uid="lipstage-tempo")
TAG = "lipstage"
COLUMNS = 24
HEIGHT, LOW, TALL = 8, 4, 10
MAX_TRACES = 200
RENDER = 'resource.service.namespace = "lipstage" && name = "render"'
"""The spans that answer questions about renders: one for each."""

Panel = timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel


@dataclass(frozen=True)
class Limits:
    """Values from which a number is shown in orange, and in red."""

    orange: float
    red: float
    low_is_bad: bool = False


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: tuple[str, str],
    limits: Limits | None = None,
    stacked: bool = False,
    exemplars: bool = False,
    width: int = COLUMNS // 2,
) -> timeseries.Panel:
    """PromQL over time. ``queries`` are expressions with their legends; ``exemplars`` are dots that open a trace."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .height(HEIGHT)
        .span(width)
        .fill_opacity(40 if stacked else 10)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if limits is not None:
        lines = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(limits)).thresholds_style(lines)
    for number, (expression, legend) in enumerate(queries):
        query = prometheus.Dataquery().ref_id(_ref(number)).expr(expression).legend_format(legend).range()
        panel = panel.with_target(query.exemplar(exemplars).datasource(PROMETHEUS))
    return panel


def trace_graph(title: str, description: str, unit: str, query: str, *, width: int = COLUMNS // 2) -> timeseries.Panel:
    """TraceQL metrics over time, stacked."""
    target = tempo.Dataquery().ref_id("A").query_type("traceql").query(query).datasource(TEMPO)
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(TEMPO)
        .unit(unit)
        .min(0)
        .height(HEIGHT)
        .span(width)
        .fill_opacity(40)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL))
        .with_target(target.metrics_query_type(MetricsQueryType.RANGE))
    )


def number(
    title: str, description: str, unit: str, expression: str, limits: Limits | None = None, *, width: int = 4
) -> stat.Panel:
    """One PromQL value of now, with its course behind it."""
    query = prometheus.Dataquery().ref_id("A").expr(expression).range().datasource(PROMETHEUS)
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .height(LOW)
        .span(width)
        .no_value("no data")
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(query)
    )
    return panel.thresholds(_thresholds(limits)) if limits is not None else panel


def states(title: str, description: str, expression: str, legend: str, *, width: int = COLUMNS // 2) -> Panel:
    """A value of 0 (good) or 1 over time, one line for each series."""
    query = prometheus.Dataquery().ref_id("A").expr(expression).legend_format(legend).range().datasource(PROMETHEUS)
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .height(HEIGHT)
        .span(width)
        .thresholds(_thresholds(Limits(1, 1)))
        .with_target(query)
    )


def rows(title: str, description: str, expression: str, *, width: int = COLUMNS // 2) -> table.Panel:
    """A PromQL value of now as a table, one row for each series."""
    query = prometheus.Dataquery().ref_id("A").expr(expression).format(PromQueryFormat.TABLE).instant()
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .height(HEIGHT)
        .span(width)
        .with_transformation(DataTransformerConfig("organize", options={"excludeByName": {"Time": True}}))
        .with_target(query.datasource(PROMETHEUS))
    )


def traces(title: str, description: str, query: str, *, sort: str | None = None, width: int = COLUMNS) -> table.Panel:
    """The spans that a TraceQL query finds, one a row, with the attributes that it selects; a row opens its trace.

    Tempo returns any MAX_TRACES of more; ``sort`` is the column with the worst on top.
    """
    target = tempo.Dataquery().ref_id("A").query_type("traceql").query(query).datasource(TEMPO)
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(TEMPO)
        .height(TALL)
        .span(width)
        .footer(common.TableFooterOptions().count_rows(True).show(True).reducer(["count"]))
        .with_target(target.table_type(SearchTableType.SPANS).limit(MAX_TRACES).spss(1))
    )
    if sort is not None:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    return panel


def trace_totals(title: str, description: str, unit: str, query: str, *, width: int = 8) -> table.Panel:
    """One TraceQL metric over the whole time range, one row for each group."""
    target = tempo.Dataquery().ref_id("A").query_type("traceql").query(query).datasource(TEMPO)
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(TEMPO)
        .unit(unit)
        .height(HEIGHT)
        .span(width)
        .with_target(target.metrics_query_type(MetricsQueryType.INSTANT))
    )


def page(
    uid: str, title: str, description: str, sections: Sequence[tuple[str, Sequence[Panel]]]
) -> dashboard.Dashboard:
    """A dashboard of titled sections; its links lead to the others, with the same time range."""
    others = dashboard.DashboardLink("Dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    made = (
        dashboard.Dashboard(f"lipstage: {title}")
        .uid(f"lipstage-{uid}")
        .description(description)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(others.keep_time(True))
    )
    for name, panels in sections:
        made = made.with_row(dashboard.Row(name))
        for panel in panels:
            made = made.with_panel(panel)
    return made


def quantile(share: float, metric: str, *by: str, where: str = "") -> str:
    """PromQL of a quantile of a histogram."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{where}[$__rate_interval])))"


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )


def _thresholds(limits: Limits) -> dashboard.ThresholdsConfig:
    if limits.low_is_bad:
        steps = [Threshold(None, "red"), Threshold(limits.red, "orange"), Threshold(limits.orange, "green")]
    else:
        steps = [Threshold(None, "green"), Threshold(limits.orange, "orange"), Threshold(limits.red, "red")]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _ref(number: int) -> str:
    return chr(ord("A") + number)
