"""Settings of the stage, and what it needs of the churn model."""

from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct


class CustomersParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What is remembered of customers, and for how long."""

    half_life_days: Annotated[
        float, Meta(gt=0, description="Half-life in days of what a customer did. Shorter if customers order often.")
    ] = 30.0
    smoothing: Annotated[
        float, Meta(gt=0, le=1, description="Weight of the newest wait, mood or rating in its running mean.")
    ] = 0.3
    silence_days: Annotated[float, Meta(gt=0, description="Days without events after which a customer is dropped.")] = (
        180.0
    )
    contact_window_days: Annotated[
        float,
        Meta(
            gt=0,
            description="Days without reopening or another conversation that make a resolution the first and last.",
        ),
    ] = 7.0
    label_from: Annotated[
        Literal["events", "orders"],
        Meta(
            description="Where churn labels come from: csq.churn.labelled, or the absence of orders within the horizon."
        ),
    ] = "events"
    horizon_days: Annotated[
        float, Meta(gt=0, description="Days after a score within which an order says that the customer stayed.")
    ] = 90.0
    max_customers: Annotated[
        int, Meta(ge=10, description="Customers per lane. Beyond it those without events for longest are dropped.")
    ] = 50_000


class ScoreChurn(Protocol):
    """The churn model, as this process holds it."""

    def score_one(self, numbers: tuple[float, ...], attributes: dict[str, Any]) -> tuple[float, Any]:
        """Return the probability, and the inputs (numbers, categories) it was made from."""

    def version(self) -> int:
        """Return the number of examples that the model has learned from."""

    def reasons_of(self, x: Any) -> list[tuple[str, float]]:
        """Return the largest reasons, in words."""

    def is_news(self, before: float | None, p: float) -> bool:
        """Return whether a score is worth publishing after the last published one."""

    def at_risk(self, p: float) -> bool:
        """Return whether a customer with this probability counts as at risk."""

    def declared(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return those attributes that the settings declare, with values of the declared kind."""

    def inputs(self) -> list[str]:
        """Return the names of the inputs; two models with the same names take the same inputs."""
