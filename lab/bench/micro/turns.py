"""Whole turns of three servers: the CPU of a write from the client's frame to the last replica."""

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice

from lab.bench.micro.ensemble import Ensemble, Wiring
from lab.bench.micro.inputs import KEYS, path, sets, value
from lab.bench.micro.part import Part, expect, now
from lab.bench.micro.wiring import RingWiring
from lab.service.requests import Done, decode_replies, encode_frame

_FRAMES = 50


class Turns:
    """One frame of `batch` writes after the other, each in the six turns that a write takes."""

    def __init__(self, batch: int, wire: Callable[[], Wiring] | None = None) -> None:
        self._batch = batch
        self._ensemble = Ensemble(wire() if wire is not None else None)
        self._frames = [encode_frame(sets(batch, at * batch)) for at in range(_FRAMES)]
        self._rounds = 0

    def run(self, rounds: int) -> float:
        wiring, commit = self._ensemble.wiring, self._ensemble.commit
        submit, take_replies = wiring.submit, wiring.take_replies
        frames = list(islice(cycle(self._frames), self._rounds, self._rounds + rounds))
        self._rounds += rounds
        started = now()
        for frame in frames:
            submit(frame)
            commit()
            take_replies()
        return now() - started

    def check(self) -> None:
        """One more frame is answered, and every replica holds everything."""
        ensemble, batch = self._ensemble, self._batch
        zxid, start = ensemble.leader.server.applied_zxid, self._rounds % _FRAMES * batch
        ensemble.wiring.submit(self._frames[self._rounds % _FRAMES])
        self._rounds += 1
        ensemble.commit()
        replies = [reply for frame in ensemble.wiring.take_replies() for reply in decode_replies(frame)]
        found = [(reply.cxid, reply.zxid) for reply in replies if isinstance(reply, Done)]
        expect(found, [(at + 1, zxid + at + 1) for at in range(batch)], "replies (cxid, zxid)")
        servers = [host.server for host in ensemble.hosts.values()]
        expect({server.applied_zxid for server in servers}, {zxid + batch}, "applied zxids")
        expect({server.tree.digest for server in servers}, {servers[0].tree.digest}, "digests")
        expect(sum(node.version for node in servers[0].tree.nodes.values()), self._rounds * batch, "sets in the tree")
        last = start + batch - 1
        expect(servers[0].tree.nodes[path(last)].data, value(last), f"data of {path(last)}")


assert KEYS % _FRAMES == 0, "every frame sets other keys than the one before"

PARTS = tuple(
    Part(
        f"turn/{name}/{batch}",
        f"three servers in one process, {said}: from the client's frame to its reply and the last replica",
        "write", batch, rounds, partial(Turns, batch, wire),
    )
    for name, said, wire in (
        ("direct", "frames handed over", None), ("rings", "frames through the rings of server processes", RingWiring)
    )
    for batch, rounds in ((1, 80), (256, 6))
)  # fmt: skip
