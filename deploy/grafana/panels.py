"""What our panels have in common: where the data comes from, sizes, legends, and a sentence about each."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, HEIGHT = 12, 8


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and the legend of each series."""

    expr: str
    legend: str = ""


def lines(
    title: str, about: str, unit: str, *queries: Query, stacked: bool = False, width: int = WIDTH
) -> timeseries.Panel:
    """Series over time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(HEIGHT)
        .min(0)
        .line_width(1)
        .fill_opacity(60 if stacked else 8)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for ref, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(ref, query))
    return panel


def signed(panel: timeseries.Panel) -> timeseries.Panel:
    """For values that may be below zero."""
    return panel.min(-100).max(100)


def number(title: str, about: str, unit: str, query: Query, *, width: int = 6) -> stat.Panel:
    """The value now, one tile a series."""
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(4)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target("A", query).instant())
    )


def rows(title: str, about: str, unit: str, *queries: Query, width: int = WIDTH) -> table.Panel:
    """A row a series, as of now."""
    panel = table.Panel().title(title).description(about).unit(unit).datasource(SOURCE)
    panel.span(width).height(HEIGHT).show_header(True)
    for ref, query in zip("ABCDEFGH", queries, strict=False):
        target = _target(ref, query).instant()
        panel.with_target(target.format(PromQueryFormat.TABLE))
    return panel


def board(uid: str, title: str, about: str) -> dashboard.Dashboard:
    """An empty dashboard with the choice of the data source."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["closeloop"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable with the values of a label, all by default."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .multi(True)
        .all_value(".*")
    )


def _target(ref: str, query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend or "__auto")
