"""Turns: one at a time, and an address that asks much takes nothing from one that asks little."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.host.web import turns as module
from flows.host.web.turns import PER_CLIENT, SERVED_KEPT, WAITING, ClientTurns, TooManyWaitingError


def served(asked: list[str]) -> tuple[list[str], list[BaseException | None]]:
    """The order of the turns where all ask while the first has its turn, and how each request ended."""

    async def run() -> tuple[list[str], list[BaseException | None]]:
        turns, order, all_asked = ClientTurns(), [], asyncio.Event()

        async def ask(client: str) -> None:
            async with turns.turn(client):
                order.append(client)
                await all_asked.wait()

        tasks = []
        for client in asked:
            tasks.append(asyncio.ensure_future(ask(client)))
            await asyncio.sleep(0)
        all_asked.set()
        return order, await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_a_new_address_has_the_next_turn_however_many_wait():
    order, _ = served(["a", *("abc" * PER_CLIENT), "new"])

    assert order.index("new") <= 3
    assert order[:4] == ["a", "b", "c", "new"]


def test_addresses_take_turns():
    order, _ = served(["a"] * 5 + ["b"] * 3)

    assert order == ["a", "b", "a", "b", "a", "b", "a", "a"]


def test_a_full_queue_refuses_its_own_address_only():
    order, ends = served(["a"] * (PER_CLIENT + 3) + ["b"])

    assert [isinstance(end, TooManyWaitingError) for end in ends] == [False] * (PER_CLIENT + 1) + [True, True, False]
    assert order.count("a") == PER_CLIENT + 1
    assert order[1] == "b"


def test_where_all_wait_the_longest_queue_gives_up_its_last():
    many = [f"a{number}" for number in range(WAITING // PER_CLIENT)]
    order, ends = served(["first", *many * PER_CLIENT, "new", "newer"])

    assert order.index("new") == len(many) + 1  # they had no turn either, and came before it
    assert sum(isinstance(end, TooManyWaitingError) for end in ends) == 2


def test_where_each_waits_for_one_turn_a_further_one_is_refused():
    _, ends = served(["first", *(f"a{number}" for number in range(WAITING)), "late"])

    assert [number for number, end in enumerate(ends) if end is not None] == [WAITING + 1]


@given(st.lists(st.sampled_from("abcde"), max_size=80), st.sets(st.integers(0, 79)))
def test_turns_do_not_overlap_and_none_is_lost_when_clients_leave(asked, leaving):
    async def run() -> None:
        turns, inside = ClientTurns(), []

        async def ask(number: int, client: str) -> None:
            with suppress(TooManyWaitingError):
                async with turns.turn(client):
                    inside.append(number)
                    try:
                        assert len(inside) == 1
                        await asyncio.sleep(0)
                    finally:
                        inside.remove(number)

        tasks = [asyncio.ensure_future(ask(number, client)) for number, client in enumerate(asked)]
        for number in leaving & set(range(len(asked))):
            await asyncio.sleep(0)
            tasks[number].cancel()
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert not [end for end in ends if isinstance(end, AssertionError)]
        async with turns.turn("last"):  # nobody holds the turn
            assert not turns._queues

    asyncio.run(run())


def test_addresses_are_remembered_within_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SERVED_KEPT", 10)

    async def run() -> int:
        turns = ClientTurns()
        for number in range(100):
            async with turns.turn(str(number)):
                pass
        return len(turns._served)

    assert asyncio.run(run()) == 10 < SERVED_KEPT
