"""Facts as values: stored and pickled without loss, in one order, dispatched by class."""

import pickle
from functools import reduce
from operator import or_
from typing import Any, get_args

import msgspec
import pytest

from operators.domain.conversations import facts as of_conversations
from operators.domain.stage import facts as shared
from operators.domain.stage.facts import Fact, WaitAnswered, WaitBegan
from operators.domain.stage.stage import Handlers, UnknownFactError


def classes(module: Any) -> list[type[Fact]]:
    found = [thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, Fact)]
    return [kind for kind in found if kind.__module__ == module.__name__]


SHARED, OWN = classes(shared), classes(of_conversations)
SAMPLE: dict[Any, Any] = {
    float: 0.1, str: "s 1", int: 3, bool: True, float | None: None, bytes: b"{}", int | None: 2, str | None: None,
    dict[str, str | float | bool]: {"plan": "gold", "age": 41.5, "b2b": True}, dict[str, tuple[float, str]]: {"c1": (0.5, "s 1")},
}  # fmt: skip


def sample(kind: type[Fact]) -> Fact:
    def value_of(kind: Any) -> Any:
        last = SAMPLE[kind] if kind in SAMPLE else get_args(kind)[-1]  # the last of several literals, or None
        return None if last is type(None) else last

    return kind(*(value_of(field.type) for field in msgspec.structs.fields(kind)))


@pytest.mark.parametrize("kinds", [SHARED, OWN], ids=["shared", "own"])
def test_facts_are_stored_and_pickled_without_loss(kinds: list[type[Fact]]) -> None:
    assert len(kinds) > 10
    facts = [sample(kind) for kind in kinds]
    assert pickle.loads(pickle.dumps(facts, 5)) == facts  # noqa: S301  our own
    stored = msgspec.msgpack.encode(facts)
    again = msgspec.msgpack.decode(stored, type=list[reduce(or_, kinds)])
    assert again == facts
    assert list(map(type, again)) == kinds


def test_no_two_facts_have_the_same_name() -> None:
    names = [kind.__name__ for kind in SHARED + OWN if kind is not Fact]
    assert len(set(names)) == len(names)


def test_a_class_without_a_handler_is_an_error_that_names_it_and_what_there_is() -> None:
    handlers = Handlers("queues", {WaitBegan: print})
    assert handlers[WaitBegan] is print
    with pytest.raises(
        UnknownFactError, match="stage queues has no handler for facts of type WaitAnswered; it takes: WaitBegan"
    ):
        handlers[WaitAnswered]
