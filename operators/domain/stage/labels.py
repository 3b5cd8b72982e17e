"""Closed sets of label values: what the settings do not name is ``other``, so that no input multiplies time series."""

from typing import Annotated

from msgspec import Meta, Struct

OTHER = "other"

_Names = tuple[Annotated[str, Meta(min_length=1, max_length=64)], ...]


class LabelsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The names this installation has time series for."""

    queues: Annotated[_Names, Meta(description="Queues; every further one is measured together as `other`.")] = (
        "orders",
        "returns",
        "billing",
        "technical",
    )
    channels: Annotated[_Names, Meta(description="Channels; every further one is measured as `other`.")] = (
        "chat",
        "email",
        "social",
    )
    segments: Annotated[
        _Names, Meta(description="Customer segments; a customer without a known one is in `other`.")
    ] = ("consumer", "business")


class LabelValues(dict[str, str]):
    """Maps a name to itself if it is known, else to ``other``.

    >>> queues = LabelValues(("orders",))
    >>> queues["orders"], queues["x" * 9], len(queues)
    ('orders', 'other', 2)
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__({name: name for name in (*names, OTHER)})

    def __missing__(self, name: str) -> str:
        return OTHER
