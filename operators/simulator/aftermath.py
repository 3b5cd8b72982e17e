"""What comes after a conversation: ratings, labels of moods, complaints, customers who leave, managers who act."""

from math import log1p

from .books import Judged, Rated
from .crowd import Crowd, SimulatedCustomer
from .scribe import Scribe
from .talk import Talk
from .words import Words
from .world import Data, World

_KINDS = ("csat",) * 15 + ("nps",) * 2 + ("ces",) + ("review",) + ("suggestion",)
_SCALES = {
    "csat": (1, 5),
    "nps": (0, 10),
    "ces": (1, 7),
    "review": (1, 5),
    "suggestion": (1, 5),
}
_MOODS = ("negative", "neutral", "positive")
_FLIPPED = {"negative": "positive", "neutral": "neutral", "positive": "negative"}
_OUTCOME_WEIGHT = {"solved": 0.18, "partial": -0.06, "unsolved": -0.25}
_ATTITUDE_SHARE = 0.4
_COMMENT_SHARE = 0.3
_TEN_SHARE = 0.1
"""Of CSAT surveys: asked on 0..10 instead of 1..5, as some shops do."""
_COMPLAINT_BELOW = 0.45
_COMPLAINT_SHARE = 0.35
_COMPLAINTS = ("late_delivery", "damaged", "wrong_item", "service", "billing")
_KEPT_SHARE = 0.6
"""Of customers found to have stayed who get a label."""
_ACTION_EVERY_SECONDS = 1200.0
_ROLLBACK_SHARE = 0.4
_ACTIONS = (
    ("staffing", "csq_first_response_seconds", -30.0),
    ("coaching", "csq_satisfaction_score", 0.3),
    ("retention_offer", "csq_churn_probability", -0.05),
)


class Aftermath:
    """Hears of every customer message and every end, and lets the rest follow minutes later."""

    def __init__(self, world: World, crowd: Crowd, scribe: Scribe, words: Words) -> None:
        self._world = world
        self._crowd = crowd
        self._scribe = scribe
        self._words = words
        self._actions = 0

    def begin(self) -> None:
        """Open the shop."""
        self._world.after(300, self._act)

    def said(self, talk: Talk, message_id: str, mood: str) -> None:
        """A customer said something: a person may label its mood later."""
        world = self._world
        if world.chance(world.params.label_share):
            # A careless labeller draws one of three moods, and so errs in two of three cases.
            careless = world.chance(world.params.label_error_share * 1.5)
            label = world.pick(_MOODS) if careless else mood
            if world.scenario == "flipped_labels":
                label = _FLIPPED[label]
            world.after(world.around(150), self._label, talk, message_id, label)

    def closed(self, talk: Talk) -> None:
        """A conversation came to its end."""
        world = self._world
        content = self._contentment(talk)
        if world.chance(world.params.rating_share):
            world.after(world.around(60), self._rate, talk, content)
        if content < _COMPLAINT_BELOW and world.chance(_COMPLAINT_SHARE):
            world.after(world.around(90), self._complain, talk.customer, content)
        world.after(world.around(150), self._decide, talk.customer)

    def _contentment(self, talk: Talk) -> float:
        """How good it was for the customer, 0..1: mood and outcome raise it, the longest wait lowers it."""
        waited = log1p(talk.longest_wait / 60)
        good = 0.72 + 0.28 * talk.mood + _OUTCOME_WEIGHT[talk.outcome] - 0.13 * waited
        return max(0.0, min(1.0, good + self._world.rng.gauss(0.0, 0.09)))

    def _label(self, talk: Talk, message_id: str, label: str) -> None:
        world = self._world
        data: Data = {
            "message_id": message_id,
            "conversation_id": talk.id,
            "label": label,
            "labeller": world.pick(("labeller-1", "labeller-2", "labeller-3")),
        }
        world.emit("csq.label.sentiment", talk.id, data, ms=self._scribe.moment(talk))

    def _rate(self, talk: Talk, content: float) -> None:
        world = self._world
        kind = world.pick(_KINDS)
        low, high = _SCALES[kind]
        score = low + round(content * (high - low))
        about_talk = kind != "review"
        data: Data = {
            "feedback_id": world.new_id("f"),
            "kind": kind,
            "score": score,
            "scale_min": low,
            "scale_max": high,
            "customer_id": talk.customer.id,
        }
        if kind == "csat" and world.chance(_TEN_SHARE):
            tenth = round(content * 10)
            data |= {"score": tenth, "scale_min": 0, "scale_max": 10}
            # 1 + tenth * 4 / 10, rounded half up, in whole numbers.
            score = 1 + (tenth * 4 + 5) // 10
        self._garnish(data, talk, content)
        if about_talk:
            data["conversation_id"] = talk.id
            note = Rated(kind, talk.queue, score)
            world.emit("csq.feedback.submitted", talk.id, data, note, self._scribe.moment(talk))
        else:
            data["sku"] = "sku-001"
            world.emit(
                "csq.feedback.submitted",
                talk.customer.id,
                data,
                Rated(kind, "other", score),
            )

    def _garnish(self, data: Data, talk: Talk, content: float) -> None:
        world = self._world
        agent = talk.last_agent
        if agent is not None and data["kind"] != "review":
            data["agent_id"] = agent.id
            if world.chance(_ATTITUDE_SHARE):
                data["attitude"] = max(
                    1,
                    min(5, round(1 + 4 * agent.politeness + world.rng.gauss(0.0, 0.5))),
                )
        if world.chance(_COMMENT_SHARE):
            mood = _MOODS[min(2, int(content * 3))]
            data["comment"] = self._words.customer(talk.customer.language, "end", mood, talk.queue)

    def _complain(self, customer: SimulatedCustomer, content: float) -> None:
        world = self._world
        severity = max(1, min(5, round(5 - 9 * content + world.rng.gauss(0.0, 0.7))))
        customer.severity += severity
        data: Data = {
            "complaint_id": world.new_id("k"),
            "customer_id": customer.id,
            "complaint_type": world.pick(_COMPLAINTS),
            "severity": severity,
        }
        world.emit("csq.complaint.opened", customer.id, data)
        world.after(world.around(500), self._settle, data)

    def _settle(self, complaint: Data) -> None:
        data = dict(complaint)
        if self._world.chance(0.5):
            data |= {"refund_minor": int(self._world.around(2000)), "currency": "EUR"}
        self._world.emit("csq.complaint.closed", str(data["customer_id"]), data)

    def _decide(self, customer: SimulatedCustomer) -> None:
        """Stay or leave; somebody who is just talking thinks about it after that talk."""
        world = self._world
        if customer.gone or customer.talking:
            return
        probability = customer.leaving_probability()
        churned = world.chance(probability)
        if churned:
            self._crowd.leave(customer)
        elif not world.chance(_KEPT_SHARE):
            return
        world.after(world.around(60), self._tell_churn, Judged(customer.id, churned, probability), world.now)

    def _tell_churn(self, judged: Judged, decided_ms: int) -> None:
        data: Data = {
            "customer_id": judged.customer_id,
            "churned": judged.churned,
            "observed_until": self._world.stamp(decided_ms),
            "label_source": "simulator",
        }
        self._world.emit("csq.churn.labelled", judged.customer_id, data, judged)

    def _act(self) -> None:
        """Let a manager do something; the first time it is taken back, so that every type of event is seen early."""
        world = self._world
        kind, metric, delta = world.pick(_ACTIONS)
        data: Data = {
            "action_id": world.new_id("a"),
            "kind": kind,
            "target": "orders",
            "parameters": {"agents": 2, "weeks": 1.5, "announced": True, "team": "day"},
            "hypothesis_metric": metric,
            "expected_delta": delta,
            "control": "returns",
            "actor": "manager-1",
        }
        world.emit("csq.action.applied", str(data["target"]), data)
        if self._actions == 0 or world.chance(_ROLLBACK_SHARE):
            world.after(300, world.emit, "csq.action.rolled_back", str(data["target"]), data)
        self._actions += 1
        world.after(world.rng.expovariate(1 / _ACTION_EVERY_SECONDS), self._act)
