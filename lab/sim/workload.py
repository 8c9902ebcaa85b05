"""What the clients of a walk do: send bursts of requests at random times, and attach anew when they have to."""

import random
from collections.abc import Sequence

from lab.service.requests import (
    CheckOp,
    Create,
    CreateMode,
    CreateOp,
    Delete,
    DeleteOp,
    Exists,
    GetChildren,
    GetData,
    Multi,
    Op,
    Request,
    SetData,
    SetDataOp,
    Sync,
)
from lab.sim.client import Client
from lab.sim.machine import Machine
from lab.sim.plan import Plan

_KEYS = 4
_NUMBERS = 8  # of sequential nodes that deletes try
_PENDING_MAX = 90
_ATTACH_MS = 150.0  # on average, until a client that gets no answer tries elsewhere
_PATIENCE = 10  # times as long, in which a client that a server holds waits for it to serve


class User:
    """Drives one client after the other: a client that died is followed by another one."""

    def __init__(self, plan: Plan, client: Client, rng: random.Random) -> None:
        self.client = client
        self.next_ms = 0.0  # when it does something next
        self._rng = rng
        self._left = plan.operations
        self._gap_ms = plan.gap_ms
        self._burst = plan.burst
        self._created: list[str] = []

    def act(self, now_ms: float, machines: Sequence[Machine]) -> None:
        client = self.client
        if not client.attached or (not client.ready and self._rng.random() < 1 / _PATIENCE):
            self.attach(machines)
            self.next_ms = now_ms + 2 * _ATTACH_MS * self._rng.random()
        elif not client.ready:
            self.next_ms = now_ms + _ATTACH_MS
        elif client.pending >= _PENDING_MAX:
            self.next_ms = now_ms + self._gap_ms
        elif self._left > 0:
            count = min(self._left, self._rng.randint(1, self._burst))
            self._left -= count
            client.submit(*[self._request() for _ in range(count)])
            self.next_ms = now_ms + 2 * self._gap_ms * self._rng.random()
        else:
            self.next_ms = float("inf")

    def attach(self, machines: Sequence[Machine]) -> None:
        running = [machine for machine in machines if machine.running]
        if running:
            self.client.attach(self._rng.choice(running).ports)

    def replace(self, client: Client) -> None:
        """The client is gone; `client` goes on in its place."""
        self.client.detach()
        self.client, self.next_ms = client, 0.0

    def _request(self) -> Request:
        rng, cxid, session = self._rng, self.client.next_cxid(), self.client.session
        key, kind = f"/k{int(rng.random() * _KEYS)}", rng.random()
        if kind < 0.2:
            return self._create(cxid, key)
        if kind < 0.25:
            data = b"%d %d" % (session, cxid)
            return Multi(cxid, [self._op(data) for _ in range(rng.choice((1, 2, 2, 4)))])
        if kind < 0.6:
            version = -1 if rng.random() < 0.6 else rng.choice((0, 3))
            return SetData(cxid, key, b"%d %d" % (session, cxid), version)
        if kind < 0.7 and self._created:
            return Delete(cxid, rng.choice(self._created), rng.choice((-1, -1, 0)))
        if kind < 0.85:
            return GetChildren(cxid, "/") if rng.random() < 0.5 else Exists(cxid, key)
        return Sync(cxid) if kind < 0.9 else GetData(cxid, key)

    def _create(self, cxid: int, key: str) -> Create:
        rng, data = self._rng, b"%d" % cxid
        if rng.random() < 0.4:
            self._created.append(f"{key}/q-{rng.randrange(_NUMBERS):010d}")  # perhaps: a later delete may find it
            return Create(cxid, f"{key}/q-", data, CreateMode.PERSISTENT_SEQUENTIAL)
        path = f"/s{self.client.session}-{cxid}" if rng.random() < 0.5 else key
        self._created.append(path)
        return Create(cxid, path, data)

    def _op(self, data: bytes) -> Op:
        """A part of a multi; one in ten or so makes it fail."""
        rng = self._rng
        key, kind = f"/k{int(rng.random() * _KEYS)}", rng.random()
        if kind < 0.2:
            return CreateOp(f"{key}/q-", data, CreateMode.PERSISTENT_SEQUENTIAL)
        if kind < 0.3:
            return rng.choice((CreateOp(key, data), DeleteOp(f"{key}/q-{rng.randrange(_NUMBERS):010d}")))
        return CheckOp(key, rng.choice((-1, -1, 3))) if kind < 0.4 else SetDataOp(key, data)
