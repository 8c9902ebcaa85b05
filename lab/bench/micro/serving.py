"""The service around the protocol: `Server.step` for a frame of writes or reads, and for their commit."""

from collections.abc import Callable
from functools import partial

from lab.bench.micro.core import FollowerRounds
from lab.bench.micro.ensemble import CLIENT, Ensemble
from lab.bench.micro.inputs import reads, sets, value
from lab.bench.micro.part import Part, Work, WrongAnswerError, expect, now
from lab.service.events import ClientRequests, ReplyTo, ServerEffect, TurnEnd
from lab.service.requests import Data, Done
from lab.zab.effects import Append, Send
from lab.zab.events import Flushed, Received
from lab.zab.messages import Ack, Proposal, TxnBatch


class LeaderServing:
    """A frame of sets on the leader.  Timed is its way to the proposal or, `answering`, what its commit does."""

    def __init__(self, batch: int, *, answering: bool) -> None:
        self._server = Ensemble().leader.server
        self._batch = batch
        self._answering = answering
        self._requests = ClientRequests(CLIENT, [*sets(batch)], 0)

    def run(self, rounds: int) -> float:
        return sum(self._round()[0] for _ in range(rounds))

    def _round(self) -> tuple[float, list[ServerEffect], list[ServerEffect]]:
        """Timed seconds, effects of proposing, effects of committing."""
        step = self._server.step
        started = now()
        effects = step(self._requests)
        effects += step(TurnEnd())
        proposed = now()
        match effects:
            case [Send(((learner, session), *_), Proposal()), Append(gen, TxnBatch() as batch)]:
                step(Flushed(gen, batch.last))
            case _:
                raise WrongAnswerError(f"a leader answers a frame of sets by {effects}")
        ack = Received(learner, session, Ack(batch.last))
        acked = now()
        committed = step(ack)
        ended = now()
        return ended - acked if self._answering else proposed - started, effects, committed

    def check(self) -> None:
        server, count = self._server, self._batch
        zxid, version = server.applied_zxid, server.tree.nodes["/k0"].version
        _, (_, append), (_, reply) = self._round()
        assert isinstance(append, Append)
        expect((append.batch.first, append.batch.count), (zxid + 1, count), "the batch (first zxid, count)")
        replies = [Done(at + 1, zxid + at + 1, version + 1) for at in range(count)]
        expect(reply, ReplyTo(CLIENT, replies), "the reply")
        expect(server.applied_zxid, zxid + count, "the applied zxid")
        expect(server.tree.nodes["/k0"].data, value(0), "data of /k0")


class ReadServing:
    """A frame of reads on a server that serves."""

    def __init__(self, batch: int) -> None:
        self._server = Ensemble().leader.server
        self._reads = reads(batch)
        self._requests = ClientRequests(CLIENT, [*self._reads], 0)

    def run(self, rounds: int) -> float:
        step, requests = self._server.step, self._requests
        started = now()
        for _ in range(rounds):
            step(requests)
        return now() - started

    def check(self) -> None:
        server = self._server
        nodes, zxid = server.tree.nodes, server.applied_zxid
        replies = [Data(read.cxid, zxid, nodes[read.path].mzxid, 0, b"") for read in self._reads]
        expect(server.step(self._requests), [ReplyTo(CLIENT, replies)], "the reply")


class Applying:
    """A follower applies what is committed; it has no clients."""

    def __init__(self, batch: int) -> None:
        self._rounds = FollowerRounds(batch)
        self._server = self._rounds.server

    def run(self, rounds: int) -> float:
        step, seconds = self._server.step, 0.0
        for proposal, flushed, commit in self._rounds.next_events(rounds):
            step(proposal)
            step(flushed)
            started = now()
            step(commit)
            seconds += now() - started
        return seconds

    def check(self) -> None:
        expect(self._server.applied_zxid, self._rounds.last, "the applied zxid")
        expect(self._server.tree.nodes["/k0"].data, value(0), "data of /k0")


_WORKS: tuple[tuple[str, str, str, int, Callable[[], Work]], ...] = (
    ("propose", "a frame of 256 sets at the leader, validated, made a batch and encoded", "write",
     30, partial(LeaderServing, 256, answering=False)),
    ("answer", "the leader applies a batch of 256 that was committed and makes its client's replies", "write",
     30, partial(LeaderServing, 256, answering=True)),
    ("apply", "a follower decodes and applies a batch of 256 that was committed", "write", 40,
     partial(Applying, 256)),
    ("read", "a frame of 256 reads, answered", "read", 150, partial(ReadServing, 256)),
)  # fmt: skip

PARTS = tuple(
    Part(f"serve/{name}/256", f"Server.step: {what}", per, 256, rounds, build)
    for name, what, per, rounds, build in _WORKS
)
