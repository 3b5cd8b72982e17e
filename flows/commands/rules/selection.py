"""Selection: series of the catalogue that are counted, as declared and as PromQL."""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from operators.domain.stage.labels import OTHER
from operators.domain.stage.promise import Promises, PromisesParams, QueuePromise  # noqa: F401  the last for an example
from operators.metrics.catalogue import CATALOGUE

Text = Annotated[str, Meta(min_length=1)]
Where = Annotated[dict[str, tuple[Text, ...]], Meta(description="Label to the values that are meant.")]


PROMISE = "promise"


class LabelMatch(NamedTuple):
    """Values of a label: these, or all but these.

    >>> LabelMatch(("a", "b")).meet(LabelMatch(("b", "c")))
    LabelMatch(names=('b',), others=False)
    >>> LabelMatch(("a", "b")).meet(LabelMatch(("b",), others=True)), LabelMatch(("a",)).meet(LabelMatch(("b",)))
    (LabelMatch(names=('a',), others=False), LabelMatch(names=(), others=False))
    """

    names: tuple[str, ...]
    others: bool = False

    def meet(self, other: "LabelMatch") -> "LabelMatch":
        """The values in both."""
        if self.others and other.others:
            return LabelMatch(tuple(dict.fromkeys((*self.names, *other.names))), others=True)
        named, limit = (other, self) if self.others else (self, other)
        return LabelMatch(tuple(name for name in named.names if (name in limit.names) != limit.others))

    def is_empty(self) -> bool:
        """Whether no value is among them."""
        return not self.names and not self.others


class Selection(Struct, frozen=True, forbid_unknown_fields=True):
    """Events that a counter or a histogram counted.

    >>> queues = {"queue": LabelMatch(("orders", "other"))}
    >>> Selection("csq_reply_seconds", {"responder": ("human",)}, 180).series(queues)
    'csq_reply_seconds_bucket{le="180.0",queue=~"orders|other",responder="human"}'
    """

    metric: Text
    where: Where = {}
    within_seconds: Annotated[float, Meta(gt=0)] | Literal["promise"] | None = None
    """Of a histogram: only those up to a bound of its buckets. `promise`: the limit that the settings promise."""

    @property
    def name(self) -> str:
        """The name of the series that count."""
        if CATALOGUE[self.metric].kind != "histogram":
            return self.metric
        return f"{self.metric}_{'count' if self.within_seconds is None else 'bucket'}"

    def series(self, more: Mapping[str, LabelMatch]) -> str | None:
        """A PromQL selector, limited to `more` in the labels that this metric has; `None` if nothing is selected."""
        matchers = {label: LabelMatch(values) for label, values in self.where.items()} | self.parts()
        for label in CATALOGUE[self.metric].labels:
            if label.name in more:
                own = matchers.get(label.name, LabelMatch((), others=True))
                matchers[label.name] = own.meet(more[label.name])
        if any(values.is_empty() for values in matchers.values()):
            return None
        if self.within_seconds is not None:
            matchers["le"] = LabelMatch((str(float(self.within_seconds)),))
        return self.name + selector({label: values for label, values in matchers.items() if values != ALL})

    def parts(self) -> dict[str, LabelMatch]:
        """Further values of labels; empty for a selection as declared."""
        return {}


class PromisedPart(Selection, frozen=True, forbid_unknown_fields=True):
    """The part of a selection `within_seconds: promise` whose queues and channels have the same limit."""

    among: dict[str, LabelMatch] = {}

    def parts(self) -> dict[str, LabelMatch]:
        """The queues and channels of this part."""
        return self.among

    @classmethod
    def all_of(cls, selection: Selection, promises: PromisesParams) -> tuple[Selection, ...]:
        """The selection with promises inserted: itself, or a part for each limit.

        >>> promises = PromisesParams(queues={"billing": QueuePromise(limit_seconds=60.0)})
        >>> parts = PromisedPart.all_of(Selection("csq_reply_seconds", within_seconds="promise"), promises)
        >>> [part.series({}) for part in parts]
        ['csq_reply_seconds_bucket{le="60.0",queue="billing"}', 'csq_reply_seconds_bucket{le="180.0",queue!="billing"}']
        """
        if selection.within_seconds != PROMISE:
            return (selection,)
        queues, channels = tuple(promises.queues), promises.named_channels
        limits: dict[tuple[LabelMatch, float], list[str | None]] = {}
        for channel in (*channels, None):
            at = LabelMatch(channels, others=True) if channel is None else LabelMatch((channel,))
            for queue in (*queues, None):
                limit = Promises(promises).of(queue or OTHER, channel or OTHER).limit_seconds
                limits.setdefault((at, limit), []).append(queue)
        return tuple(
            cls(selection.metric, selection.where, limit, {"queue": _among(found, queues), "channel": at})
            for (at, limit), found in limits.items()
        )


ALL = LabelMatch((), others=True)


def _among(found: list[str | None], queues: tuple[str, ...]) -> LabelMatch:
    """The queues that were found; `None` is every queue without a promise of its own."""
    if None in found:
        return LabelMatch(tuple(queue for queue in queues if queue not in found), others=True)
    return LabelMatch(tuple(queue for queue in found if queue is not None))


class Gauge(Struct, frozen=True, forbid_unknown_fields=True):
    """A gauge that has to be at a bound or above: what counts is the share of time that it is not."""

    metric: Text
    at_least: float
    volume: Text
    """A counter of the same labels: what the gauge was made from, for the guard against low volume."""
    where: Where = {}


def selector(matchers: Mapping[str, LabelMatch]) -> str:
    """Matchers in the order of their names; several values become a regular expression.

    >>> selector({"queue": LabelMatch(("a", "b.c")), "job": LabelMatch(("csq",), others=True)})
    '{job!="csq",queue=~"a|b[.]c"}'
    """
    parts = [
        f'{label}{"!=" if others else "="}"{_quoted(values[0])}"'
        if len(values) == 1
        else f'{label}{"!~" if others else "=~"}"{"|".join(_quoted(_literal(value)) for value in values)}"'
        for label, (values, others) in sorted(matchers.items())
    ]
    return f"{{{','.join(parts)}}}" if parts else ""


def _literal(value: str) -> str:
    """A value as a regular expression that matches it alone; brackets read better than doubled backslashes."""
    return "".join(f"[{sign}]" if sign in ".+*?()|{}$" else f"\\{sign}" if sign in "[]^\\" else sign for sign in value)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
