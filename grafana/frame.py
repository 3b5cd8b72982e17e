"""The frame of a dashboard: its variables, marks of restarts and deployments, links to the others, and the grid."""

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from grafana.panels import DATASOURCE, Panel

WIDTH = 24
"""Columns of Grafana's grid."""
TAG = "csq"
"""Tag that links the dashboards."""

JOB = 'job=~"$job"'
PROCESS = f'{JOB}, instance=~"$instance"'
QUEUE = f'{JOB}, queue=~"$queue"'
CHANNEL = f'{QUEUE}, channel=~"$channel"'
"""Selectors of a query: the job, and the variables of the dashboard."""


_DEFAULT = model.VariableOption(selected=True, text="default", value="default")
"""Grafana's own default data source, until another one is chosen."""


class Choice(NamedTuple):
    """A variable that is filled by Prometheus: the values of a label, all of them chosen at first."""

    name: str
    query: str
    meaning: str


CHOICES = {
    choice.name: choice
    for choice in (
        Choice("job", "label_values(csq_build_info, job)", "Installation of csq."),
        Choice("instance", f"label_values(csq_build_info{{{JOB}}}, instance)", "Process of csq."),
        Choice("queue", f"label_values(csq_open_waits{{{JOB}}}, queue)", "Queue, as in labels.queues of the settings."),
        Choice(
            "channel",
            f'label_values(csq_reply_seconds_count{{{JOB}, queue=~"$queue"}}, channel)',
            "Channel, as in labels.channels of the settings.",
        ),
        Choice(
            "model", f"label_values(csq_model_examples_total{{{JOB}}}, model)", "Model; sentiment has one per language."
        ),
    )
}


class Band(NamedTuple):
    """Panels side by side, `height` rows of the grid high; each with the columns it takes."""

    height: int
    panels: Sequence[tuple[int, Panel]]


class Section(NamedTuple):
    """A heading and what belongs under it."""

    title: str
    bands: Sequence[Band]


def frame(
    uid: str, title: str, question: str, choices: Sequence[str], sections: Sequence[Section], hours: int = 6
) -> model.Dashboard:
    """A dashboard: `question` is its description, `hours` its default time range.

    Raises:
        ValueError: the panels of a band do not fill the width of the grid.
    """
    made = dashboard.Dashboard(title).uid(uid).description(question).tags([TAG]).readonly()
    made.time(f"now-{hours}h", "now").refresh("30s").timezone("browser").tooltip(model.DashboardCursorSync.CROSSHAIR)
    made.with_variable(
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus").current(_DEFAULT)
    )
    for name in choices:
        made.with_variable(_variable(CHOICES[name]))
    for mark in _marks():
        made.annotation(mark)
    made.link(_others())
    _place(made, sections)
    return made.build()


def _variable(choice: Choice) -> Builder[model.VariableModel]:
    variable = dashboard.QueryVariable(choice.name).label(choice.name.capitalize()).description(choice.meaning)
    variable.query(choice.query).definition(choice.query).datasource(DATASOURCE)
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
    variable.multi(multi=True).include_all(include_all=True).all_value(".+")
    return variable.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))


def _marks() -> list[Builder[model.AnnotationQuery]]:
    """Restarts and deployments, each at the time that the process exports."""
    starts = f"process_start_time_seconds{{{JOB}}}"
    builds = f"csq_build_info{{{JOB}}}"
    first = f"min by (version) ({starts} * on (job, instance) group_left (version) {builds})"
    return [
        _mark("Restarts", f"max by (job, instance) ({starts}) * 1000", "Start of a process", "{{instance}}", "red"),
        _mark("Deployments", f"{first} * 1000", "Version deployed", "csq {{version}}", "blue"),
    ]


def _mark(name: str, expr: str, title: str, text: str, color: str) -> Builder[model.AnnotationQuery]:
    mark = dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(enable=True).hide(hide=False)
    mark.expr(expr).step("60s").title_format(title).text_format(text).use_value_for_time(use_value_for_time=True)
    return mark.tag_keys("instance,version").icon_color(color)


def _others() -> Builder[model.DashboardLink]:
    link = dashboard.DashboardLink("csq").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(as_dropdown=False).keep_time(keep_time=True).include_vars(include_vars=True)


def _place(made: dashboard.Dashboard, sections: Sequence[Section]) -> None:
    """Lay the panels on the grid, from left to right and from top to bottom; ids count in the same order."""
    at, number = 0, 0
    for section in sections:
        number += 1
        row = dashboard.Row(section.title).id(number).grid_pos(model.GridPos(h=1, w=WIDTH, x=0, y=at))
        made.with_row(row)
        at += 1
        for band in section.bands:
            wide = sum(width for width, _ in band.panels)
            if wide != WIDTH:
                raise ValueError(f"{section.title}: the panels of a band are {WIDTH} wide together, got {wide}")
            left = 0
            for width, panel in band.panels:
                number += 1
                placed = panel.build()
                placed.id_val = number
                placed.grid_pos = model.GridPos(h=band.height, w=width, x=left, y=at)
                made.with_panel(_Placed(placed))
                left += width
            at += band.height


class _Placed(Builder[model.Panel]):
    """A panel that has its place already."""

    def __init__(self, panel: model.Panel) -> None:
        self._panel = panel

    def build(self) -> model.Panel:
        return self._panel
