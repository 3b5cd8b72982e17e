"""Label values: the names of queues, channels and segments that have series of their own.

Each label is a closed set: names that the settings give, and where they say `auto`, names that were admitted because
they occur often enough (``admission.py``). Everything else is measured together as ``other``, so that no input
multiplies time series.
"""

from collections.abc import Collection, Iterable, Mapping
from math import inf
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from operators.domain.wire.personal import kind_of

OTHER: Final = "other"
AUTO: Final = "auto"
MOST_CHARACTERS: Final = 64
BOUNDS: Final[Mapping[str, int]] = {"queue": 20, "channel": 10, "segment": 10}
"""Label to the number of names up to which further ones are admitted."""

Label = Literal["queue", "channel", "segment"]
Names = tuple[Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)], ...]
Choice = Literal["auto"] | Names


class LabelsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The names that have time series of their own; everything else is measured together as `other`."""

    queues: Annotated[
        Choice,
        Meta(
            description="Queues by their names in the events. auto: a queue is admitted after 20 conversations within "
            "24 hours, up to 20 queues. A list admits no others. Queues under `promises` are always included."
        ),
    ] = AUTO
    channels: Annotated[
        Choice, Meta(description="Channels, as `queues`; up to 10. Channels under `promises` are always included.")
    ] = AUTO
    segments: Annotated[
        Choice, Meta(description="Customer segments, as `queues`, after 20 customers within 24 hours; up to 10.")
    ] = AUTO


class Admitted(Struct, frozen=True, array_like=True, gc=False):
    """A name has series of its own for what happens after `since` (event time, POSIX seconds)."""

    label: Label
    value: str
    since: float


class LabelValues:
    """The names of one label.

    >>> queues = LabelValues(("orders",), is_open=True, bound=2)
    >>> queues.admit("returns", since=100.0)
    >>> queues.at("orders", 5.0), queues.at("returns", 100.0), queues.at("returns", 100.5), queues.at("x" * 9, 200.0)
    ('orders', 'other', 'returns', 'other')
    >>> queues.has_room()
    False
    """

    def __init__(self, names: Iterable[str], *, is_open: bool = False, bound: int = 0) -> None:
        self.fixed: tuple[str, ...] = tuple(dict.fromkeys(names))
        """Names that the settings give."""
        self.is_open = is_open
        """Whether other names may be admitted."""
        self.bound = bound
        """Number of names up to which others are admitted."""
        self.since: dict[str, float] = dict.fromkeys((*self.fixed, OTHER), -inf)
        """Every name that is in -> from when on (event time, POSIX seconds)."""

    def at(self, name: str, time: float) -> str:
        """Return the label value of something that happened at `time`."""
        since = self.since.get(name)
        return OTHER if since is None or time <= since else name

    def stored(self, name: str) -> str:
        """Return the label value of a stored record, whose value is `name`: it was in when it was stored."""
        return name if self.is_open or name in self.since else OTHER

    def admit(self, name: str, since: float) -> None:
        """Let a name in, for what happens after `since`."""
        self.since.setdefault(name, since)

    def has_room(self) -> bool:
        """Return whether one more name may be admitted. Once it is `False` it stays so."""
        return self.is_open and len(self.since) - 1 < self.bound  # without `other`

    def admits(self, name: str) -> bool:
        """Return whether `name` may be admitted, if it occurs often enough; personal data never is."""
        fits = 0 < len(name) <= MOST_CHARACTERS and name not in self.since and self.has_room()
        return fits and kind_of(name) is None

    def admitted(self) -> tuple[str, ...]:
        """Return the names that were admitted."""
        return tuple(name for name, since in self.since.items() if since > -inf)


class Labels:
    """The label values of a process. Its stages share one: what one lane learns of an admission holds for all."""

    def __init__(self, params: LabelsParams, queues: Collection[str] = (), channels: Collection[str] = ()) -> None:
        """`queues` and `channels` are further names that are always included."""
        self.queues = _values("queue", params.queues, queues)
        self.channels = _values("channel", params.channels, channels)
        self.segments = _values("segment", params.segments, ())
        self.of: dict[str, LabelValues] = {
            "queue": self.queues,
            "channel": self.channels,
            "segment": self.segments,
        }
        self.seen: dict[str, dict[str, int]] = {}
        """Label to the names measured as `other`, and how many events had them; known in one process."""

    def admit(self, admitted: Iterable[Admitted]) -> None:
        """Let names in."""
        for each in admitted:
            self.of[each.label].admit(each.value, each.since)


def _values(label: Label, choice: str | tuple[str, ...], more: Collection[str]) -> LabelValues:
    names = () if isinstance(choice, str) else choice
    return LabelValues((*names, *more), is_open=choice == AUTO, bound=BOUNDS[label])
