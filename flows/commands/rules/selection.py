"""Selection: series of the catalogue that are counted, as declared and as PromQL."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from operators.metrics.catalogue import CATALOGUE

Text = Annotated[str, Meta(min_length=1)]
Where = Annotated[dict[str, tuple[Text, ...]], Meta(description="Label to the values that are meant.")]


class Selection(Struct, frozen=True, forbid_unknown_fields=True):
    """Events that a counter or a histogram counted.

    >>> Selection("csq_reply_seconds", {"responder": ("human",)}, 180).series({"queue": ("orders", "other")})
    'csq_reply_seconds_bucket{le="180.0",queue=~"orders|other",responder="human"}'
    """

    metric: Text
    where: Where = {}
    within_seconds: Annotated[float, Meta(gt=0)] | None = None
    """Of a histogram: only those up to a bound of its buckets."""

    @property
    def name(self) -> str:
        """The name of the series that count."""
        if CATALOGUE[self.metric].kind != "histogram":
            return self.metric
        return f"{self.metric}_{'count' if self.within_seconds is None else 'bucket'}"

    def series(self, more: Mapping[str, Iterable[str]]) -> str:
        """A PromQL selector, with the values of `more` for the labels this metric has."""
        matchers = {label: tuple(values) for label, values in self.where.items()}
        known = {label.name for label in CATALOGUE[self.metric].labels}
        matchers |= {label: tuple(values) for label, values in more.items() if label in known}
        if self.within_seconds is not None:
            matchers["le"] = (str(float(self.within_seconds)),)
        return self.name + selector(matchers)


class Gauge(Struct, frozen=True, forbid_unknown_fields=True):
    """A gauge that has to be at a bound or above: what counts is the share of time that it is not."""

    metric: Text
    at_least: float
    volume: Text
    """A counter of the same labels: what the gauge was made from, for the guard against low volume."""
    where: Where = {}


def selector(matchers: Mapping[str, tuple[str, ...]]) -> str:
    """Matchers in the order of their names; several values become a regular expression.

    >>> selector({"queue": ("a", "b.c"), "job": ("csq",)})
    '{job="csq",queue=~"a|b[.]c"}'
    """
    parts = [
        f'{label}="{_quoted(values[0])}"'
        if len(values) == 1
        else f'{label}=~"{"|".join(_quoted(_literal(value)) for value in values)}"'
        for label, values in sorted(matchers.items())
    ]
    return f"{{{','.join(parts)}}}" if parts else ""


def _literal(value: str) -> str:
    """A value as a regular expression that matches it alone; brackets read better than doubled backslashes."""
    return "".join(f"[{sign}]" if sign in ".+*?()|{}$" else f"\\{sign}" if sign in "[]^\\" else sign for sign in value)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
