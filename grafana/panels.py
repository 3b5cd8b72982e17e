"""Panels in the house style: the kinds that the dashboards use, each with its words, unit and thresholds.

Every panel is described in three sentences (`PanelText`), takes its data source from the variable ``datasource`` and
its thresholds from the declared objectives where there is one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = looks.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""Prometheus, as chosen at the top of the dashboard."""

GREEN, AMBER, RED, BLUE, GREY = "green", "orange", "red", "blue", "text"

Panel = Builder[model.Panel]
Steps = Sequence[tuple[float | None, str]]
"""Colours from a value upwards, the first one from minus infinity (None)."""

PLAIN: Steps = ((None, BLUE),)
"""Of a number that is neither good nor bad."""
NOTHING = {"type": "special", "options": {"match": "null+nan", "result": {"text": "-", "color": GREY}}}
"""The mapping of a cell without a value, which otherwise has the colour of the lowest value."""


class PanelText(NamedTuple):
    """The description of a panel: what it shows, good values, and what to do otherwise."""

    says: str
    good: str
    act: str

    def text(self) -> str:
        """Markdown, as Grafana shows it.

        >>> print(PanelText("Replies in time.", "Above 90 %.", "Look at the queues.").text())
        Replies in time.
        <BLANKLINE>
        **Good:** Above 90 %.
        <BLANKLINE>
        **If not:** Look at the queues.
        """
        return f"{self.says}\n\n**Good:** {self.good}\n\n**If not:** {self.act}"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL and the name of its series; `legend` may hold ``{{label}}``."""

    expr: str
    legend: str = "__auto"
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a value to details; `url` may hold ``${__field.labels.queue}``."""

    title: str
    url: str


def to_dashboard(title: str, uid: str, *variables: str) -> Link:
    """A link to another dashboard at the same time range and data source; `variables` are ``name=value``.

    >>> to_dashboard("Queue", "csq-queues", "queue=${__field.labels.queue}").url
    '/d/csq-queues?${datasource:queryparam}&${job:queryparam}&${__url_time_range}&var-queue=${__field.labels.queue}'
    """
    chosen = "".join(f"&var-{variable}" for variable in variables)
    return Link(title, f"/d/{uid}?${{datasource:queryparam}}&${{job:queryparam}}&${{__url_time_range}}{chosen}")


def rising(good: float, poor: float | None = None) -> Steps:
    """Colours where more is better: red, amber from `poor`, green from `good`.

    >>> rising(0.9, 0.8)
    ((None, 'red'), (0.8, 'orange'), (0.9, 'green'))
    """
    return ((None, RED), (good, GREEN)) if poor is None else ((None, RED), (poor, AMBER), (good, GREEN))


def falling(bad: float, warn: float | None = None) -> Steps:
    """Colours where less is better: green, amber from `warn`, red from `bad`.

    >>> falling(180.0)
    ((None, 'green'), (180.0, 'red'))
    """
    return ((None, GREEN), (bad, RED)) if warn is None else ((None, GREEN), (warn, AMBER), (bad, RED))


SHARE, SECONDS, COUNT, RATE = "percentunit", "s", "short", "cps"
"""Units as Grafana names them: 0..1 as percent, durations, plain counts, per second."""


class _Common(Protocol):
    """What the builders of all kinds of panels share."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: looks.DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def decimals(self, decimals: float) -> Self: ...
    def min(self, min_val: float) -> Self: ...
    def max(self, max_val: float) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def thresholds(self, thresholds: Builder[model.ThresholdsConfig]) -> Self: ...
    def data_links(self, links: list[Builder[model.DashboardLink]]) -> Self: ...
    def interval(self, interval: str) -> Self: ...
    def color_scheme(self, color: Builder[model.FieldColor]) -> Self: ...
    def with_target(self, target: prometheus.Dataquery) -> Self: ...


_Kind = TypeVar("_Kind", bound=_Common)


@dataclass(frozen=True, slots=True)
class Field:
    """How values are shown: unit, decimals, the ends of the axis, colours, and where a click leads."""

    unit: str
    steps: Steps = PLAIN
    decimals: int | None = None
    low: float | None = None
    high: float | None = None
    links: Sequence[Link] = ()
    every: str | None = None
    """Least step of the queries (``5m``): rates of rare events need a window that contains some."""
    empty: str = "no data"
    """What is written where there is no value: why that can be in a healthy system."""


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    made = [model.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def _data_links(links: Iterable[Link]) -> list[Builder[model.DashboardLink]]:
    return [dashboard.DashboardLink(link.title).type(model.DashboardLinkType.LINK).url(link.url) for link in links]


def _dress(panel: _Kind, title: str, words: PanelText, field: Field) -> _Kind:
    """Put on what every panel has."""
    panel.title(title).description(words.text()).datasource(DATASOURCE).unit(field.unit).no_value(field.empty)
    panel.thresholds(_thresholds(field.steps))
    if field.decimals is not None:
        panel.decimals(field.decimals)
    if field.low is not None:
        panel.min(field.low)
    if field.high is not None:
        panel.max(field.high)
    if field.every is not None:
        panel.interval(field.every)
    if field.links:
        panel.data_links(_data_links(field.links))
    return panel


def _ask(panel: _Kind, queries: Iterable[Query], form: PromQueryFormat) -> _Kind:
    for number, query in enumerate(queries):
        target = prometheus.Dataquery().datasource(DATASOURCE).expr(query.expr).legend_format(query.legend)
        target.format(form).ref_id(chr(ord("A") + number))
        panel.with_target(target.instant() if query.instant else target.range())
    return panel


def number(title: str, words: PanelText, query: Query, field: Field) -> Panel:
    """One figure with a sparkline."""
    panel = _dress(stat.Panel(), title, words, field)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.graph_mode(looks.BigValueGraphMode.NONE if query.instant else looks.BigValueGraphMode.AREA)
    panel.color_mode(looks.BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
    return _ask(panel, [query], PromQueryFormat.TIME_SERIES)


def bars(title: str, words: PanelText, query: Query, field: Field) -> Panel:
    """One bar per series, now."""
    panel = _dress(bargauge.Panel(), title, words, field)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.orientation(looks.VizOrientation.HORIZONTAL).display_mode(looks.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(values=False))
    return _ask(panel, [query], PromQueryFormat.TIME_SERIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """How lines are drawn."""

    stacked: bool = False
    limit: bool = False
    """Whether the thresholds are drawn as dashed lines."""
    log: bool = False
    band: tuple[str, str] | None = None
    """Two legends, lower and upper: the space between them is filled."""
    dashed: Sequence[str] = ()
    """Legends of lines that are no measurements: forecasts, limits, plans."""
    colors: Mapping[str, str] | None = None
    """Legend to colour, where a colour has a meaning."""


def lines(title: str, words: PanelText, queries: Sequence[Query], field: Field, style: Lines | None = None) -> Panel:
    """Values over time, a line per series, with the last and the largest value in the legend."""
    drawn = style or Lines()
    panel = _dress(timeseries.Panel(), title, words, field)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.line_width(1).fill_opacity(40 if drawn.stacked else 6).show_points(looks.VisibilityMode.AUTO)
    legend = common.VizLegendOptions().display_mode(looks.LegendDisplayMode.TABLE)
    legend.placement(looks.LegendPlacement.BOTTOM).calcs(["lastNotNull", "max"]).show_legend(show_legend=True)
    panel.legend(legend)
    panel.tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    if drawn.stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A"))
    if drawn.limit:
        dashes = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel.thresholds_style(dashes)
    if drawn.log:
        panel.scale_distribution(common.ScaleDistributionConfig().type(looks.ScaleDistribution.LOG).log(10))
    _mark(panel, drawn)
    return _ask(panel, queries, PromQueryFormat.TIME_SERIES)


def _mark(panel: timeseries.Panel, style: Lines) -> None:
    """Set single lines apart: the band of an interval, dashes, colours with a meaning."""
    wanted: dict[str, list[model.DynamicConfigValue]] = {}
    if style.band is not None:
        lower, upper = style.band
        wanted[lower] = [_value("custom.lineWidth", 0), _value("custom.fillOpacity", 0)]
        wanted[upper] = [
            _value("custom.lineWidth", 0),
            _value("custom.fillOpacity", 20),
            _value("custom.fillBelowTo", lower),
        ]
    for legend in style.dashed:
        dash = _value("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})
        wanted.setdefault(legend, []).extend([dash, _value("custom.fillOpacity", 0)])
    for legend, color in (style.colors or {}).items():
        wanted.setdefault(legend, []).append(_value("color", {"mode": "fixed", "fixedColor": color}))
    for legend, values in wanted.items():
        panel.override_by_name(legend, values)


def _value(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def heat_map(title: str, words: PanelText, expr: str, field: Field) -> Panel:
    """A histogram over time: the query gives one series per bucket, named by its upper bound."""
    panel = _dress(heatmap.Panel(), title, words, field)
    panel.calculate(calculate=False).color(heatmap.HeatmapColorOptions().scheme("Oranges").steps(64))
    panel.y_axis(heatmap.YAxisConfig().unit(field.unit).axis_placement(looks.AxisPlacement.LEFT))
    return _ask(panel, [Query(expr, "{{le}}")], PromQueryFormat.HEATMAP)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: query and format; without a title only its labels are shown."""

    title: str
    expr: str
    unit: str
    steps: Steps = ()
    decimals: int | None = None
    words: Mapping[str, str] | None = None
    """Words for its values, instead of colours."""


@dataclass(frozen=True, slots=True)
class Key:
    """A label that names the rows of a table: its heading, and words for its values."""

    title: str
    words: Mapping[str, str] | None = None


def rows(
    title: str,
    words: PanelText,
    keys: Mapping[str, Key],
    columns: Sequence[Column],
    *,
    links: Sequence[Link] = (),
    worst: str | None = None,
    empty: str = "none",
) -> Panel:
    """A table of now: one row per set of `keys` (by label), one column per query.

    `links` hang on the first key; the largest value of the column `worst` comes first.
    """
    panel = _dress(table.Panel(), title, words, Field(COUNT, ((None, GREY),), empty=empty))
    panel.cell_height(looks.TableCellHeight.SM)
    _ask(panel, [Query(column.expr, instant=True) for column in columns], PromQueryFormat.TABLE)
    _arrange(panel, keys, columns)
    if worst is not None:
        panel.sort_by([common.TableSortByFieldState().display_name(worst).desc(desc=True)])
    for column in filter(lambda column: column.title, columns):
        panel.override_by_name(column.title, _shown(column))
    for place, key in enumerate(keys.values()):
        values = []
        if key.words:
            values.append(_value("mappings", [_words(key.words)]))
        if links and place == 0:
            values.append(_value("links", [{"title": link.title, "url": link.url} for link in links]))
        if values:
            panel.override_by_name(key.title, values)
    return panel


def _arrange(panel: table.Panel, keys: Mapping[str, Key], columns: Sequence[Column]) -> None:
    """Join the answers of the queries into one table, keys first."""
    found = [f"Value #{chr(ord('A') + number)}" for number in range(len(columns))] if len(columns) > 1 else ["Value"]
    headings = {label: key.title for label, key in keys.items()}
    headings |= dict(zip(found, (column.title for column in columns), strict=True))
    unseen = {name: True for name, heading in headings.items() if not heading}
    headings = {name: heading for name, heading in headings.items() if heading}
    options = {
        "excludeByName": {"Time": True, **unseen},
        "indexByName": {name: place for place, name in enumerate(headings)},
        "renameByName": headings,
    }
    if len(columns) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))


def _shown(column: Column) -> list[model.DynamicConfigValue]:
    values = [_value("unit", column.unit)]
    if column.decimals is not None:
        values.append(_value("decimals", column.decimals))
    if column.steps:
        made = [{"value": value, "color": color} for value, color in column.steps]
        values.append(_value("thresholds", {"mode": "absolute", "steps": made}))
        values.append(_value("custom.cellOptions", {"type": "color-text"}))
        values.append(_value("mappings", [NOTHING]))
    elif column.words:
        values.append(_value("mappings", [_words(column.words)]))
    return values


def _words(words: Mapping[str, str]) -> dict[str, object]:
    return {"type": "value", "options": {value: {"text": text} for value, text in words.items()}}
