"""Clocks of a queue with a calendar run in its opening hours; those that say `elapsed` go by the wall."""

from datetime import datetime
from typing import Any

import pytest

from operators.domain.conversations.stage import Conversations, ConversationsParams
from operators.domain.models.satisfaction import MODEL, SatisfactionScorer, SatisfactionWeights
from operators.domain.queues.record import QueuesParams
from operators.domain.queues.stage import Queues
from operators.domain.stage.facts import WaitAnswered, WaitBegan
from operators.domain.stage.promise import Promises, PromisesParams, QueuePromise
from operators.domain.time.calendars import Calendar, CalendarParams, Dated
from operators.domain.time.lanes import Lanes
from tests.builders import AT_ONCE, NAMES, Seen, play, restored, say, step

HERE = ("orders", "chat")
OFFICE = Calendar(CalendarParams("Europe/Berlin", {"mon-fri": ("08:00-17:00",)}))
SATURDAYS = Calendar(CalendarParams("Europe/Berlin", {"mon-sat": ("08:00-17:00",)}))
OPEN = PromisesParams(queues={"orders": QueuePromise(calendar="office")}, calendars={"office": OFFICE.params})


def at(text: str) -> float:
    """A time of November 2026 in Berlin; 27 is a Friday."""
    return datetime.fromisoformat(f"2026-11-{text}+01:00").timestamp()


def promises(params: PromisesParams = OPEN) -> Promises:
    return Promises(params, {"office": OFFICE})


def talks(kept: Promises | None = None) -> Conversations:
    score = SatisfactionScorer({MODEL: SatisfactionWeights()}).score_one
    return Conversations(
        ConversationsParams(auto_close_hours={"other": 1_000.0}),
        NAMES,
        kept or promises(),
        Lanes(8),
        score,
        feedback=AT_ONCE,
    )


def after(*steps: Any, until: str = "30T12:00", kept: Promises | None = None) -> Seen:
    return play(talks(kept), steps, at(until))


def replies(seen: Seen) -> list[dict[str, Any]]:
    return [event["data"] for event in seen.published["csq.reply.measured"]]


def test_a_question_of_friday_evening_that_is_answered_on_monday_morning_is_in_time() -> None:
    seen = after(say("customer", at("27T17:02")), say("agent", at("30T08:02")))

    (reply,) = replies(seen)
    assert (reply["reply_seconds"], reply["first_response_seconds"], reply["outcome"]) == (120.0, 120.0, "met")
    assert (reply["reply_elapsed_seconds"], reply["first_response_elapsed_seconds"]) == (226_800.0, 226_800.0)
    for metric in ("csq_reply", "csq_first_response"):
        assert seen.sampled(f"{metric}_seconds") == {(*HERE, "human"): [120.0]}
        assert seen.sampled(f"{metric}_elapsed_seconds") == {(*HERE, "human"): [226_800.0]}


def test_a_limit_that_has_begun_before_the_weekend_is_over_behind_it() -> None:
    seen = after(say("customer", at("27T16:59")), say("agent", at("30T08:05")))

    missed, late = replies(seen)
    assert (missed["outcome"], missed["reply_seconds"]) == ("missed", None)
    assert seen.published["csq.reply.measured"][0]["time"] == "2026-11-30T07:02:00Z"
    assert (late["outcome"], late["reply_seconds"]) == ("missed", 360.0)


def test_a_reply_at_the_opening_is_in_time_where_the_limit_was_over_at_closing_time() -> None:
    seen = after(say("customer", at("27T16:57")), say("agent", at("30T08:00")))
    assert [reply["outcome"] for reply in replies(seen)] == ["met"]


def test_what_happens_while_the_queue_is_closed_is_counted() -> None:
    seen = after(say("customer", at("27T17:00")), say("agent", at("28T10:00")), say("agent", at("28T10:05")))
    assert seen.count("csq_closed_waits_total") == {("orders",): 1}
    assert seen.count("csq_closed_replies_total") == {("orders",): 1}
    in_time = after(say("customer", at("27T16:59")), say("agent", at("30T08:00")))
    assert in_time.count("csq_closed_waits_total") == in_time.count("csq_closed_replies_total") == {}


def test_resolution_and_handle_time_run_in_opening_hours() -> None:
    seen = after(
        step("opened", at("27T16:00")), say("agent", at("27T16:50")), step("resolved", at("30T09:00"), outcome="solved")
    )
    assert seen.sampled("csq_resolution_seconds") == {(*HERE, "human"): [7_200.0]}
    assert seen.sampled("csq_resolution_elapsed_seconds") == {(*HERE, "human"): [65 * 3_600.0]}
    assert seen.sampled("csq_handle_seconds") == {HERE: [4_200.0]}
    assert seen.sampled("csq_handle_elapsed_seconds") == {HERE: [64 * 3_600.0 + 600.0]}


def test_satisfaction_feels_a_weekend_as_no_wait() -> None:
    def part(customer: str, agent: str, kept: Promises) -> float:
        steps = (say("customer", at(customer)), say("agent", at(agent)), step("resolved", at("30T09:00")))
        (event,) = after(*steps, kept=kept).published["csq.satisfaction.scored"]
        return float(event["data"]["parts"]["response"])

    over_weekend = part("27T17:02", "30T08:02", promises())
    assert over_weekend == part("30T08:10", "30T08:12", promises())
    assert over_weekend > part("27T17:02", "30T08:02", Promises(PromisesParams())) + 2.0


def test_a_queue_without_a_calendar_has_nothing_by_the_wall_beside_it() -> None:
    seen = after(say("customer", at("27T17:02"), queue="billing"), say("agent", at("30T08:02"), queue="billing"))
    assert seen.sampled("csq_reply_seconds") == {("billing", "chat", "human"): [226_800.0]}
    assert seen.sampled("csq_reply_elapsed_seconds") == {}
    assert [reply["outcome"] for reply in replies(seen)] == ["missed", "missed"]


def test_a_wait_that_moves_to_a_queue_with_other_hours_has_their_limit() -> None:
    to_closed = (say("customer", at("27T18:00"), queue="billing"), step("assigned", at("27T18:01"), queue="orders"))
    assert replies(after(*to_closed, until="30T08:02")) == []
    assert [reply["outcome"] for reply in replies(after(*to_closed, until="30T08:04"))] == ["missed"]

    to_open = (say("customer", at("27T18:00"), queue="orders"), step("assigned", at("27T18:10"), queue="billing"))
    seen = after(*to_open, until="27T18:11")
    assert [event["time"] for event in seen.published["csq.reply.measured"]] == ["2026-11-27T17:10:00Z"]


@pytest.mark.parametrize("restart", [False, True])
def test_a_calendar_that_changes_counts_for_waits_that_are_open(*, restart: bool) -> None:
    kept = promises()
    stage = talks(kept)
    play(stage, [say("customer", at("28T07:00"))], at("28T08:02"))
    changed = {"office": SATURDAYS}
    if restart:
        stage = restored(talks(Promises(OPEN, changed)), stage)
    else:
        kept.replace(changed)
    seen = Seen()
    for moment in ("28T08:02:59", "28T08:03:01"):
        stage.advance(at(moment))
        seen.take(stage.drain())
        assert len(seen.published["csq.reply.measured"]) == (moment == "28T08:03:01")


def test_a_calendar_that_opens_later_keeps_an_open_wait_from_being_missed() -> None:
    kept = Promises(OPEN, {"office": SATURDAYS})
    stage = talks(kept)
    play(stage, [say("customer", at("28T07:00"))], at("28T08:02"))
    kept.replace({"office": OFFICE})
    stage.advance(at("28T09:00"))
    assert Seen().take(stage.drain()).published["csq.reply.measured"] == []
    stage.advance(at("30T08:04"))
    (event,) = Seen().take(stage.drain()).published["csq.reply.measured"]
    assert event["time"] == "2026-11-30T07:03:00Z"


def test_a_change_that_a_snapshot_was_too_early_for_counts_after_a_restart() -> None:
    kept = promises()
    stage = talks(kept)
    play(stage, [say("customer", at("28T07:00"))], at("28T08:02"))
    kept.replace({"office": SATURDAYS})
    stage = restored(talks(Promises(OPEN, {"office": SATURDAYS})), stage)
    stage.advance(at("28T08:03:01"))
    stage.advance(at("28T08:03:02"))
    assert len(Seen().take(stage.drain()).published["csq.reply.measured"]) == 1


def test_a_calendar_file_that_changes_while_csq_is_down_counts_for_waits_that_are_open() -> None:
    def of_file(hours: str, digest: str) -> Promises:
        (begin, end) = (at(f"28T{text}") for text in hours.split("-"))
        params = CalendarParams("Europe/Berlin", file="office.ics")
        return Promises(OPEN, {"office": Calendar(params, lambda year: Dated(open=((begin, end),)), digest)})

    stage = talks(of_file("10:00-12:00", "a"))
    play(stage, [say("customer", at("28T07:00"))], at("28T07:30"))
    stage = restored(talks(of_file("08:00-12:00", "b")), stage)
    stage.advance(at("28T08:03:01"))
    assert len(Seen().take(stage.drain()).published["csq.reply.measured"]) == 1


def test_a_restart_with_the_same_calendars_decodes_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = talks()
    play(stage, [say("customer", at("28T07:00"))], at("28T07:30"))
    fresh = talks()
    monkeypatch.setattr(fresh, "_apply_settings", lambda *_: pytest.fail("decoded"))
    restored(fresh, stage)


# ---- queues


def gauges(queues: Queues, now: str, shown: dict[Any, Any] | None = None) -> dict[Any, Any]:
    queues.advance(at(now))
    view = {} if shown is None else shown
    for _, values in queues.drain():
        view |= {(metric, *labels): value for metric, labels, value in values}
    return view


def queue(kept: Promises | None = None) -> Queues:
    return Queues(QueuesParams(), kept or promises(), NAMES)


def test_the_oldest_wait_stands_still_while_the_queue_is_closed() -> None:
    queues = queue()
    queues.settle([WaitBegan(at("27T16:58"), "e1", "orders", "c1", at("27T16:58"))])
    waits = ("csq_oldest_open_wait_seconds", "orders")
    is_open = ("csq_queue_open", "orders")
    view: dict[Any, Any] = {}
    seen = [
        (moment, gauges(queues, moment, view)[waits], view[is_open])
        for moment in ("27T16:59", "27T17:00", "28T12:00", "30T08:01")
    ]
    assert seen == [
        ("27T16:59", 60.0, 1),
        ("27T17:00", 120.0, 0),
        ("28T12:00", 120.0, 0),
        ("30T08:01", 180.0, 1),
    ]


def test_the_window_of_the_service_level_is_an_hour_of_opening() -> None:
    queues = queue()
    answered = [
        WaitAnswered(at(moment), f"e{number}", "orders", "chat", f"c{number}", 10.0, met=met)
        for number, (moment, met) in enumerate([("27T15:50", True), ("27T16:30", False), ("27T16:50", True)])
    ]
    queues.settle(answered)
    level = ("csq_service_level_ratio", "orders")
    view = gauges(queues, "27T16:51")
    assert gauges(queues, "30T08:25", view)[level] == 0.5  # 35 minutes of Friday, 25 of Monday
    assert gauges(queues, "30T08:45", view)[level] == 1.0


def test_a_forecast_does_not_reach_into_the_night() -> None:
    """With bins of opening hours the first minute of a day follows the last one of the day before."""
    queues = queue()
    view: dict[Any, Any] = {}
    for day in ("23", "24", "25", "26"):
        for minute in range(9 * 60):
            moment = at(f"{day}T08:00") + minute * 60.0
            queues.settle([WaitAnswered(moment, f"e{moment}", "orders", "chat", "c1", 60.0 + minute % 7, met=True)])
            queues.advance(moment + 1.0)
    evening = dict(gauges(queues, "26T17:00", view))
    morning = gauges(queues, "27T07:59", view)
    forecasts = [key for key in evening if key[0] == "csq_reply_forecast_seconds"]
    assert len(forecasts) == 9
    assert all(evening[key] == morning[key] for key in forecasts)


def test_the_clock_of_a_queue_goes_on_where_it_was_after_a_restart_and_a_change_of_hours() -> None:
    kept = promises()
    queues = queue(kept)
    queues.settle([WaitBegan(at("27T16:58"), "e1", "orders", "c1", at("27T16:58"))])
    for moment in ("27T17:00", "28T12:00"):
        queues.advance(at(moment))
    (before,) = queues._queues.values()
    again = restored(queue(Promises(OPEN, {"office": SATURDAYS})), queues)
    (record,) = again._queues.values()
    assert record._position(at("28T12:00")) == before._position(at("28T12:00"))
    again.advance(at("28T13:00"))
    assert record._position(at("28T13:00")) == before._position(at("28T12:00")) + 3_600.0
