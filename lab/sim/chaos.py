"""The chaos of a seed: frames arrive, servers work, disks flush, clients send, and the faults of the plan strike."""

import random
from math import inf

from lab.sim.machine import TICK_MS
from lab.sim.plan import Plan
from lab.sim.strikes import Strikes
from lab.sim.workload import User
from lab.sim.world import World

_ORDERS = 32  # in which servers take their turns, drawn for each walk


class Chaos:
    """Drives a world, round by round, along a plan; what a round brings about depends on the plan alone."""

    def __init__(self, world: World, plan: Plan) -> None:
        self.world = world
        self.plan = plan
        self._rng = random.Random(f"chaos {plan.seed}")
        self.users = [
            User(plan, world.add_client(), random.Random(f"client {number} of {plan.seed}"))
            for number in range(plan.clients)
        ]
        self._strikes = Strikes(world, plan, self.users)
        self._machines = list(world.machines.values())
        self._orders = [self._rng.sample(self._machines, len(self._machines)) for _ in range(_ORDERS)]

    def run(self) -> None:
        world, clock, rng = self.world, self.world.clock, self._rng
        for machine in self._machines:
            machine.flush_ms = self.plan.flush
        world.network.set_usual_pace(self.plan.pace)
        span_ms = 2 * self.plan.grain_ms
        now = clock.now_ms()
        end = now + self.plan.ticks * TICK_MS
        while now < end:
            busy = world.network.deliver_due()
            self._strikes.strike_due(now)
            for user in self.users:
                if user.next_ms <= now:
                    user.act(now, self._machines)
            for machine in self._orders[int(rng.random() * _ORDERS)]:
                if machine.wants_turn():
                    self._strikes.survive(machine, machine.turn)
                    busy = True
            now += 0.5 + span_ms * rng.random()
            if not busy:
                now = max(now, min(end, self._next_ms()))
            clock.advance_to(now)

    def _next_ms(self) -> float:
        """When the next thing is due, while nobody has anything to do."""
        users = min((user.next_ms for user in self.users), default=inf)
        machines = min((machine.next_ms() for machine in self._machines), default=inf)
        return min(users, machines, self._strikes.next_ms(), self.world.network.next_ms())

    def calm_down(self) -> None:
        """No more faults: links whole, disks prompt, clocks right, every server up."""
        self._strikes.end_all()
