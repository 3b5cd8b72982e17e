"""The agents: shifts round the clock, breaks, several talks at a time, and half of them, or all, gone in an outage."""

from collections.abc import Callable
from datetime import UTC, datetime

from .params import Scenario
from .phrases import QUEUES
from .talk import SimulatedAgent, Talk
from .world import World

QUEUE_SHARES = {"orders": 0.35, "returns": 0.25, "billing": 0.2, "technical": 0.2}
"""Of the conversations."""
_SHIFT_SECONDS = 8 * 3600
_SHIFTS = 3
_BREAK_EVERY_SECONDS = 3600
_BREAK_SECONDS = 420
_INTERVAL_SECONDS = 1800
_INTERVALS_AHEAD = 4
_SHRINKAGE = 0.1
_WORK_SECONDS = 206.0
"""An agent's slot is taken so long by a conversation, about (measured); those that never reach a human count in."""
_CONCURRENCY = 3
_DOWN_EVERY: dict[Scenario, int] = {"outage": 2, "full_outage": 1}


class Staff:
    """All agents. Tells `on_free` of a queue where somebody can take a talk, `on_lost` of a talk left alone."""

    def __init__(
        self,
        world: World,
        talks_per_second: float,
        on_free: Callable[[str], None],
        on_lost: Callable[[Talk], None],
    ) -> None:
        self._world = world
        self._on_free = on_free
        self._on_lost = on_lost
        self._free: dict[str, list[SimulatedAgent]] = {queue: [] for queue in QUEUES}
        self._present = {
            queue: max(
                2,
                round(
                    talks_per_second * share * _WORK_SECONDS / _CONCURRENCY / world.params.agent_load / (1 - _SHRINKAGE)
                ),
            )
            for queue, share in QUEUE_SHARES.items()
        }
        self._agents = [
            agent for queue in QUEUES for place in range(self._present[queue]) for agent in self._fill(queue, place)
        ]

    def begin(self) -> None:
        """Open the shop: plans, shifts, and what becomes of them in an outage."""
        world = self._world
        for queue in QUEUES:
            for ahead in range(_INTERVALS_AHEAD):
                self._plan(queue, ahead)
        world.after(_INTERVAL_SECONDS - world.start / 1000 % _INTERVAL_SECONDS, self._plan_on)
        world.on_scenario(self._come_and_go)

    def choose_free(self, queue: str) -> SimulatedAgent | None:
        """Choose who takes the next talk: the less busy of two drawn at random."""
        free = self._free[queue]
        if not free:
            return None
        one, two = self._world.pick(free), self._world.pick(free)
        return one if len(one.talks) <= len(two.talks) else two

    def take(self, agent: SimulatedAgent, talk: Talk) -> None:
        """Give a talk to an agent."""
        talk.agent = talk.last_agent = agent
        agent.talks.append(talk)
        self._refresh(agent)

    def release(self, talk: Talk) -> None:
        """Take a talk from its agent, if it has one."""
        agent = talk.agent
        if agent is not None:
            talk.agent = None
            agent.talks.remove(talk)
            self._refresh(agent)

    def _fill(self, queue: str, place: int) -> list[SimulatedAgent]:
        """Hire three agents who relieve one another; the first is at work already, anywhere in the shift."""
        world = self._world
        agents = [self._hire(queue, place * _SHIFTS + number) for number in range(1, _SHIFTS + 1)]
        left = world.rng.random() * _SHIFT_SECONDS
        world.after(world.between(0.01, 1.5), self._begin_shift, agents[0], left)
        for number, agent in enumerate(agents[1:]):
            world.after(left + number * _SHIFT_SECONDS, self._begin_shift, agent, _SHIFT_SECONDS)
        return agents

    def _hire(self, queue: str, number: int) -> SimulatedAgent:
        world = self._world
        return SimulatedAgent(
            id=f"agent-{queue}-{number}",
            queue=queue,
            concurrency_max=_CONCURRENCY + world.pick((-1, 0, 0, 1)),
            pace=world.between(0.75, 1.35),
            politeness=world.pick((0.98, 0.95, 0.9, 0.8, 0.3)),
            skill=world.between(-0.08, 0.08),
        )

    def _begin_shift(self, agent: SimulatedAgent, seconds: float) -> None:
        agent.on_shift = True
        self._world.after(seconds, self._end_shift, agent)
        self._world.after(self._world.between(0.1, 2) * _BREAK_EVERY_SECONDS, self._begin_break, agent)
        self._refresh(agent)

    def _end_shift(self, agent: SimulatedAgent) -> None:
        agent.on_shift = agent.on_break = False
        self._world.after((_SHIFTS - 1) * _SHIFT_SECONDS, self._begin_shift, agent, _SHIFT_SECONDS)
        self._refresh(agent)

    def _begin_break(self, agent: SimulatedAgent) -> None:
        if agent.on_shift:
            agent.on_break = True
            self._world.after(self._world.around(_BREAK_SECONDS), self._end_break, agent)
            self._refresh(agent)

    def _end_break(self, agent: SimulatedAgent) -> None:
        agent.on_break = False
        self._world.after(
            self._world.between(0.5, 1.5) * _BREAK_EVERY_SECONDS,
            self._begin_break,
            agent,
        )
        self._refresh(agent)

    def _come_and_go(self, scenario: Scenario) -> None:
        """Let every agent, or every second, be down as long as the scenario says so."""
        every = _DOWN_EVERY.get(scenario, 0)
        on_shift: dict[str, int] = dict.fromkeys(QUEUES, 0)
        for agent in self._agents:
            on_shift[agent.queue] += agent.on_shift
            if not every:
                agent.down = False
            # Of those at work, and of those at home, who come later.
            elif (on_shift[agent.queue] if agent.on_shift else int(agent.id.rsplit("-", 1)[1])) % every == every - 1:
                agent.down = True
                self._refresh(agent)
                for talk in tuple(agent.talks):
                    self.release(talk)
                    self._on_lost(talk)
            self._refresh(agent)

    def _refresh(self, agent: SimulatedAgent) -> None:
        due = agent.due_state()
        if due != agent.state:
            self._tell(agent, due)
            agent.state = due
        if (due == "available") != (agent.place >= 0):
            self._list(agent) if due == "available" else self._unlist(agent)
        if due == "available":
            self._on_free(agent.queue)

    def _list(self, agent: SimulatedAgent) -> None:
        free = self._free[agent.queue]
        agent.place = len(free)
        free.append(agent)

    def _unlist(self, agent: SimulatedAgent) -> None:
        free = self._free[agent.queue]
        last = free.pop()
        if last is not agent:
            free[agent.place] = last
            last.place = agent.place
        agent.place = -1

    def _tell(self, agent: SimulatedAgent, due: str) -> None:
        data = {
            "agent_id": agent.id,
            "queue": agent.queue,
            "from": agent.state,
            "to": due,
            "concurrency_used": len(agent.talks),
            "concurrency_max": agent.concurrency_max,
        }
        self._world.emit("csq.agent.state_changed", agent.id, data)

    def _plan_on(self) -> None:
        for queue in QUEUES:
            self._plan(queue, _INTERVALS_AHEAD - 1)
        self._world.after(_INTERVAL_SECONDS, self._plan_on)

    def _plan(self, queue: str, ahead: int) -> None:
        # Rounded: a plan for the interval that begins just now must not fall a millisecond short of it.
        now = (self._world.now + 500) // 1000
        begin = now - now % _INTERVAL_SECONDS + ahead * _INTERVAL_SECONDS
        data = {
            "queue": queue,
            "interval_start": datetime.fromtimestamp(begin, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "interval_seconds": _INTERVAL_SECONDS,
            "agents_scheduled": self._present[queue],
            "shrinkage": _SHRINKAGE,
        }
        self._world.emit("csq.staffing.planned", queue, data)
