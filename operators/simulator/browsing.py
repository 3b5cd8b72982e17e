"""Customers in the shop itself: pages, products, searches, carts, orders, and what comes of them."""

from .crowd import Crowd, SimulatedCustomer
from .phrases import lines
from .world import Data, World

EVENTS_PER_SESSION = 5.3
"""Measured, with cancellations and refunds."""
_SKUS = tuple(f"sku-{number:03d}" for number in range(1, 241))
_QUERIES = lines("""
    headphones
    rain jacket men
    coffee maker with timer
    running shoes 42
    desk lamp
    gift card
    usb c cable
    winter boots kids
    耳机
    咖啡机
    跑鞋
    mochila
    Regenjacke
""")
_STEPS = ("page_viewed",) * 4 + ("product_viewed",) * 5 + ("products_searched",) * 3 + ("cart_updated",) * 2
_VAIN_SHARE = 0.22
_ORDER_SHARE = 0.3
_CANCEL_SHARE = 0.08
_REFUND_SHARE = 0.08
_UPDATE_SHARE = 0.05
_CURRENCIES = {"en": "GBP", "zh": "CNY"}


class Browsing:
    """Sessions of customers, one step after the other."""

    def __init__(self, world: World, crowd: Crowd) -> None:
        self._world = world
        self._crowd = crowd
        self._sessions_per_second = world.params.events_per_second * 0.4 / EVENTS_PER_SESSION

    def begin(self) -> None:
        """Open the shop."""
        self._world.after(0.3, self._arrive)

    def _arrive(self) -> None:
        world = self._world
        world.after(world.rng.expovariate(self._sessions_per_second), self._arrive)
        self._step(self._crowd.anybody(), world.new_id("s"), int(world.between(3, 8)))

    def _step(self, customer: SimulatedCustomer, session: str, left: int) -> None:
        world = self._world
        if customer.gone:
            return
        if left == 0:
            if world.chance(_ORDER_SHARE):
                self._order(customer, session)
            return
        self._look(customer, session, world.pick(_STEPS))
        world.after(world.around(12), self._step, customer, session, left - 1)

    def _look(self, customer: SimulatedCustomer, session: str, step: str) -> None:
        world = self._world
        data: Data = {"customer_id": customer.id, "session_id": session}
        if step == "products_searched":
            vain = world.chance(_VAIN_SHARE)
            customer.vain_searches += vain
            data["query"] = world.pick(_QUERIES)
            data["result_count"] = 0 if vain else 1 + int(world.around(12))
        else:
            data["dwell_seconds"] = round(world.around(15), 1)
            if step != "page_viewed":
                data["sku"] = [world.pick(_SKUS)]
        world.emit("csq.behavior." + step, customer.id, data)

    def _order(self, customer: SimulatedCustomer, session: str) -> None:
        world = self._world
        order: Data = {
            "customer_id": customer.id,
            "session_id": session,
            "sku": [world.pick(_SKUS) for _ in range(world.pick((1, 1, 2, 3)))],
            "order_id": world.new_id("o"),
            "total_minor": int(world.around(4500)),
            "currency": _CURRENCIES.get(customer.language, "EUR"),
        }
        world.emit("csq.behavior.order_completed", customer.id, order)
        if world.chance(_CANCEL_SHARE):
            world.after(world.around(180), self._undo, customer, "order_cancelled", order)
        elif world.chance(_REFUND_SHARE):
            world.after(world.around(500), self._undo, customer, "order_refunded", order)
        if world.chance(_UPDATE_SHARE):
            world.after(1, self._update, customer)

    def _update(self, customer: SimulatedCustomer) -> None:
        if not customer.gone:
            self._crowd.update(customer)

    def _undo(self, customer: SimulatedCustomer, what: str, order: Data) -> None:
        undone = {name: order[name] for name in ("customer_id", "order_id", "total_minor", "currency")}
        self._world.emit("csq.behavior." + what, customer.id, undone)
