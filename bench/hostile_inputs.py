"""A million hostile inputs: real events with the changes that a defect or an attacker could make.

The same seed gives the same inputs. Changes are fast and random, without knowledge of how csq reads.
"""

import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

import msgspec

from bench.hostile_texts import any_text, size_of
from operators.domain.wire.events import TYPES
from operators.simulator import Simulator
from operators.simulator.params import SimulatorParams

CANARY = "kanarienvogel"
"""Is part of every text, id and name, none of which may occur in the headers of a dead letter."""
POOL = 4_000
"""Real events that are changed."""

KINDS = {
    "plain": 6.0,
    "text": 32.0,
    "field": 13.0,
    "identity": 6.0,
    "time": 5.0,
    "number": 5.0,
    "keys": 4.0,
    "deep": 3.0,
    "flip": 8.0,
    "cut": 4.0,
    "splice": 4.0,
    "encoding": 4.0,
    "random": 3.0,
    "large": 0.5,
    "repeat": 1.5,
    "tombstone": 0.5,
    "empty": 0.5,
}
"""Kind of input to its share in percent."""

Data = dict[str, Any]
_encode = msgspec.json.Encoder().encode

_TOKENS = (
    b"1e999", b"-1e999", b"1e-999", b"NaN", b"Infinity", b"-Infinity", b"-0", b"-0.0", b"0x10", b"1_000", b"01",
    b"1.", b".5",
    b"+1", b"1e", b"1e+", b"9" * 30, b"9" * 400, b"-" + b"9" * 5_000, b"1" + b"0" * 40_000,
    b"0." + b"0" * 40_000 + b"1",
    b"0.1e-400", b"5e-324", b"1.7976931348623157e308", b"1.7976931348623159e308", b"9007199254740993",
    b"18446744073709551616",
    b"-9223372036854775809", b"1e15", b"1e16", b"-1e15", b"0e0", b"1" + b"e1" * 9, b"true", b"false", b"null", b"nul",
    b"True",
    b"{}", b"[]", b'""', b"'1'", b"[1,2", b"1,2", b"//", b"/*1*/", b"\\u0031", b'"1"', b'"1e5"', b"1 1",
)  # fmt: skip
_TIMES = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00",
    "1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "1900-01-01T00:00:00Z", "2038-01-19T03:14:08Z",
    "2026-02-30T00:00:00Z",
    "2026-01-05T24:00:00Z", "2016-12-31T23:59:60Z", "2026-01-05T08:00:00", "2026-01-05", "2026-01-05T08:00:00+99:99",
    "2026-01-05T08:00:00.123456789123Z", "2026-1-5T8:0:0Z", "20260105T080000Z", "1767600000", "now", "",
    "-2026-01-05T08:00:00Z",
    "+12026-01-05T08:00:00Z", "2026-01-05T08:00:00+00:00:01", "2026-01-05t08:00:00z", "2026-01-05 08:00:00Z",
    "10000-01-01T00:00:00Z",
    "0000-00-00T00:00:00Z", "\uff12\uff10\uff12\uff16-01-05T08:00:00Z", "2026-01-05T08:00:00\u0000Z",
    "2026-01-05T08:00:00-00:00",
)  # fmt: skip
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1e15, -1e15, 1.5, 2**53, 2**53 + 1, -(2**63), 2**64 - 1, 0.1, 5e-324, "", " ", "0",
    [], {}, [[]],
    [None], {"": None}, ["x"] * 50, {"role": "customer"}, {"role": "customer", "id": "x"}, {"role": "nobody", "id": ""},
)  # fmt: skip
_ESCAPES = (
    b"\\ud800", b"\\udfff", b"\\ud83d\\ude00", b"\\ude00\\ud83d", b"\\u0000", b"\\u202e", b"\\uFFFF", b"\\u12",
    b"\\x41", b"\\'",
    b"\\", b"\\uD800\\uD800", b"\\u0022", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82",
    b"\x00", b"\n", b"\x1f",
)  # fmt: skip
_LIKE = {
    "csq.conversation.reopened": "csq.conversation.opened",
    "csq.conversation.abandoned": "csq.conversation.opened",
    "csq.complaint.closed": "csq.complaint.opened",
    "csq.behavior.order_refunded": "csq.behavior.order_completed",
}
"""What is rare in the shop -> what has the same data."""
_ACTION = {
    "action_id": "x1", "kind": "staffing", "target": "orders", "parameters": {"agents": 2},
    "hypothesis_metric": "csq_reply_seconds",
    "expected_delta": -30.0, "actor": "lead",
}  # fmt: skip
RARE = 80
"""Times that each type is at least among the real events."""


class Input(NamedTuple):
    """What is fed: `value` is a Kafka record's, None a tombstone."""

    kind: str
    value: bytes | None


class Hostile:
    """Makes inputs, one after the other.

    >>> first, again = (list(Hostile(7).make(200, lambda: 1_767_600_000.0)) for _ in range(2))
    >>> first == again, len({one.kind for one in first}) > 10
    (True, True)
    """

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)  # noqa: S311 - chance, not a secret
        self._pool = _pool(seed)
        self._made = 0
        self._last: list[bytes] = [b"{}"]
        self._ways: dict[str, Callable[[Data], bytes | None]] = {kind: getattr(self, f"_{kind}") for kind in KINDS}

    def make(self, count: int, clock: Callable[[], float]) -> Iterator[Input]:
        """The next `count` inputs; events happen at `clock` (POSIX seconds), or a little before."""
        rng = self._rng
        for kind in rng.choices(list(KINDS), list(KINDS.values()), k=count):
            value = self._ways[kind](self._event(clock()))
            if value is not None and kind != "repeat":
                if len(self._last) > 500:  # noqa: PLR2004 - repeats are of the last few hundred
                    self._last = self._last[250:]
                self._last.append(value)
            yield Input(kind, value)

    def _event(self, now: float) -> Data:
        self._made += 1
        rng = self._rng
        event = rng.choice(self._pool)
        time = datetime.fromtimestamp(now - rng.random() * 3, UTC).isoformat(timespec="milliseconds")
        return {**event, "id": f"{CANARY}-{self._made}", "time": time, "data": dict(event["data"])}

    def _message(self, event: Data) -> Data:
        """The event, or another one that is a message."""
        while event["type"] != "csq.message.created":
            event = {**self._rng.choice(self._pool), "id": event["id"], "time": event["time"]}
        return {**event, "data": dict(event["data"])}

    # ---- valid, or nearly

    def _plain(self, event: Data) -> bytes:
        return _encode(event)

    def _text(self, event: Data) -> bytes:
        """Mostly valid events with slow or large texts."""
        rng, event = self._rng, self._message(event)
        data = event["data"]
        text = any_text(rng, size_of(rng))
        data["text"] = f"{CANARY} {text}" if rng.random() < 0.5 else text  # noqa: PLR2004 - by halves
        data["author"] = {"role": rng.choice(("customer", "customer", "customer", "agent", "bot")), "id": "x"}
        data["language"] = rng.choice((None, None, "en", "zh", "de", any_text(rng, 20) or "x"))
        return _encode(event)

    def _field(self, event: Data) -> bytes:
        """Some field is something else."""
        rng = self._rng
        for _ in range(rng.choice((1, 1, 2, 4))):
            table = event if rng.random() < 0.3 else event["data"]  # noqa: PLR2004 - mostly inside data
            if not isinstance(table, dict) or not table:
                break
            name = rng.choice(list(table))
            chance = rng.random()
            if chance < 0.15:  # noqa: PLR2004 - now and then a field is missing
                del table[name]
            elif chance < 0.6:  # noqa: PLR2004 - about half get something of another type or size
                table[name] = deepcopy(rng.choice(_ODD))  # what is put into it later is its own
            elif chance < 0.8:  # noqa: PLR2004 - some get what another field has
                table[name] = deepcopy(rng.choice(list(rng.choice(self._pool)["data"].values())))
            else:
                table[name] = any_text(rng, rng.choice((1, 20, 128, 129, 300, 5_000)))
            if "data" not in event:
                break
        return _encode(event)

    def _identity(self, event: Data) -> bytes:
        """Ids and names: empty, huge, with spaces and controls, or always others."""
        rng = self._rng
        names = [
            name for name in event["data"] if name.endswith("_id") or name in {"queue", "channel", "segment", "sku"}
        ]
        for name in rng.sample(names, min(len(names), rng.choice((1, 1, 3)))):
            event["data"][name] = self._name()
        if rng.random() < 0.4:  # noqa: PLR2004 - often the event's own name too
            event[rng.choice(("id", "source"))] = self._name()
        return _encode(event)

    def _name(self) -> str:
        rng = self._rng
        size = rng.choice((0, 1, 40, 128, 129, 1_000, 30_000))
        chance = rng.random()
        if chance < 0.5:  # noqa: PLR2004 - half are new names
            return (f"{CANARY}{rng.random()}" + "x" * size)[: max(size, 40)]
        return any_text(rng, max(size, 1))[:size]

    def _time(self, event: Data) -> bytes:
        """Times at the ends of time."""
        rng = self._rng
        name = rng.choice([name for name in event["data"] if name in {"observed_until", "interval_start"}] or ["time"])
        table = event["data"] if name != "time" else event
        table[name] = rng.choice((*_TIMES, rng.randrange(-(2**62), 2**62), rng.random() * 4e9))
        return _encode(event)

    # ---- JSON that other parsers write, or none

    def _number(self, event: Data) -> bytes:
        """A token in the place of a value."""
        rng = self._rng
        table = event["data"] if rng.random() < 0.8 else event  # noqa: PLR2004 - mostly inside data
        table[rng.choice([*table, "more"])] = "@@token@@"
        return _encode(event).replace(b'"@@token@@"', rng.choice(_TOKENS))

    def _keys(self, event: Data) -> bytes:
        """Keys twice, misspelt, strange, or thousands of them."""
        rng = self._rng
        raw = _encode(event)
        chance = rng.randrange(4)
        if chance == 0:  # the same key again, with another value
            name = rng.choice(list(event))
            return raw[:-1] + b"," + _encode(name) + b":" + _encode(rng.choice((*_ODD, event[name]))) + b"}"
        if chance == 1:
            event["data"] |= {any_text(rng, 30): n for n in range(rng.choice((1, 50, 1_000)))}
            return _encode(event)
        if chance == 2:  # noqa: PLR2004 - the third of four ways
            event["data"]["attributes"] = {
                f"{CANARY}{any_text(rng, 20)}{n}": rng.choice(_ODD[:20]) for n in range(rng.choice((1, 50, 500)))
            }
            return _encode(event)
        name = rng.choice(list(event["data"])).encode()
        return raw.replace(b'"%s"' % name, b'"%s"' % rng.choice((name.upper(), name + b" ", name[::-1], b"")))

    def _deep(self, event: Data) -> bytes:
        """Nested as deep as it fits."""
        rng = self._rng
        depth = rng.choice((5, 60, 500, 1_000, 5_000, 30_000))
        opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"data":', b"}]")))
        nested = opening * depth + b"1" + closing * rng.choice((depth, depth, 0))  # some never close
        nested = nested[:60_000]
        if rng.random() < 0.3:  # noqa: PLR2004 - some are nothing else
            return nested
        table = rng.choice((event, event["data"]))
        table[rng.choice(("more", "data", "attributes", "text"))] = "@@deep@@"
        return _encode(event).replace(b'"@@deep@@"', nested)

    # ---- bytes

    def _flip(self, event: Data) -> bytes:
        rng = self._rng
        raw = bytearray(_encode(event))
        for _ in range(rng.choice((1, 1, 2, 8, 40))):
            raw[rng.randrange(len(raw))] = rng.choice((rng.randrange(256), ord(rng.choice('{}[]",:\\0'))))
        return bytes(raw)

    def _cut(self, event: Data) -> bytes:
        raw = _encode(event)
        begin = self._rng.choice((0, 0, 0, self._rng.randrange(len(raw))))
        return raw[begin : self._rng.randrange(begin, len(raw) + 1)]

    def _splice(self, event: Data) -> bytes:
        rng = self._rng
        one, two = _encode(event), rng.choice(self._last)
        joint = rng.choice((b"", b"", b",", b"\n", b"}{", b" "))
        return (one[: rng.randrange(len(one) + 1)] + joint + two[rng.randrange(len(two) + 1) :])[:64_000]

    def _encoding(self, event: Data) -> bytes:
        rng = self._rng
        chance = rng.randrange(5)
        raw = _encode(event)
        if chance == 0:
            return raw.decode().encode(rng.choice(("utf-16", "utf-32", "utf-16-be", "utf-7", "utf-8-sig")), "replace")
        if chance == 1:
            return rng.choice((b"\xef\xbb\xbf", b"\x00", b"[", b"\xff\xfe", b" " * 1_000)) + raw
        if chance == 2:  # noqa: PLR2004 - the third of five ways
            return raw + rng.choice((b"\x00", b"}", b"\n" * 1_000, raw, b"//", b"\xff"))
        event = self._message(event)
        event["data"]["text"] = f"{CANARY}@@escape@@"
        return _encode(event).replace(b"@@escape@@", rng.choice(_ESCAPES) * rng.choice((1, 1, 3, 500)))

    def _random(self, _: Data) -> bytes:
        rng = self._rng
        size = rng.choice((1, 8, 100, 3_000))
        if rng.random() < 0.5:  # noqa: PLR2004 - half of it at least looks like JSON
            return bytes(rng.choices(b'{}[]",:\\ 0123456789.eE+-truefalsnu', k=size))
        return rng.randbytes(size)

    def _large(self, event: Data) -> bytes:
        event["more"] = "x" * self._rng.choice((65_000, 65_536, 70_000, 300_000, 1_000_000))
        return _encode(event)

    def _repeat(self, _: Data) -> bytes:
        return self._rng.choice(self._last)

    def _tombstone(self, _: Data) -> None:
        return None

    def _empty(self, _: Data) -> bytes:
        return self._rng.choice((b"", b" ", b"\n", b"{}", b"[]", b"null", b"0", b'""', struct.pack(">I", 7) + b"{}"))


def _pool(seed: int) -> list[Data]:
    """Real events of every type."""
    shop = Simulator(
        SimulatorParams(seed=seed, broken_share=0.0, duplicate_share=0.0, late_share=0.0), keep_books=False
    )
    pool = [msgspec.json.decode(delivery.raw) for delivery in shop.take(POOL)]
    for kind in TYPES:
        known = [event for event in pool if event["type"] == kind]
        like = known or [event for event in pool if event["type"] == _LIKE.get(kind)] or [{**pool[0], "data": _ACTION}]
        pool += [{**like[n % len(like)], "type": kind} for n in range(RARE - len(known))]
    return pool
