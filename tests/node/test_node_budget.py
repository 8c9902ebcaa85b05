"""The capacity budget, frame by frame and byte by byte, in an ensemble whose time and links are simulated."""

import pytest
from marked_ensemble import MarkedEnsemble

from lab.report.budget import FRAME_BYTES, PREFIX_BYTES, Write, sent_per_batch
from lab.service.requests import Create, SetData
from lab.zab.messages import Ping, ServerState, decode_learner_message

SESSION = (1 << 62) + 1  # as long as those of real clients


class Counted:
    """An ensemble whose servers' frames are counted as they are sent; pings, which time brings, are not."""

    def __init__(self, voters: int, observers: int, relays: int = 0) -> None:
        self.ensemble = MarkedEnsemble(
            ServerState.LEADING, voters=voters, observers=observers, relays=relays, session=SESSION
        )
        self.ensemble.ask(Create(1, "/bench", b""), Create(2, "/bench/00000", b""))
        self.sent: dict[int, list[int]] = {me: [] for me in self.ensemble.ports}
        for me, ports in self.ensemble.ports.items():
            self._count(me, ports)

    def _count(self, me, ports) -> None:
        send, reply = ports.send, ports.reply

        def counted_send(peer, session, frame):
            if not isinstance(decode_learner_message(frame), Ping):
                self.sent[me].append(FRAME_BYTES + PREFIX_BYTES + len(frame))
            send(peer, session, frame)

        def counted_reply(client, frame):
            self.sent[me].append(FRAME_BYTES + len(frame))
            reply(client, frame)

        ports.send, ports.reply = counted_send, counted_reply

    def write(self, count: int, value_bytes: int) -> None:
        """One batch."""
        self.ensemble.ask(*(SetData(100 + i, "/bench/00000", b"x" * value_bytes) for i in range(count)))

    def of(self, state: ServerState) -> list[tuple[int, int]]:
        """(frames, bytes) of each server in that state."""
        servers = self.ensemble.servers.items()
        return [(len(self.sent[me]), sum(self.sent[me])) for me, server in servers if server.peer.state is state]


@pytest.mark.parametrize(("voters", "observers"), [(1, 0), (3, 0), (3, 1), (3, 2), (3, 4), (5, 0), (5, 2), (7, 0)])
@pytest.mark.parametrize(("count", "value_bytes"), [(1, 100), (10, 100), (20, 300), (3, 0)])
def test_every_server_sends_for_a_batch_exactly_what_the_formula_says(voters, observers, count, value_bytes):
    counted = Counted(voters, observers)
    counted.write(count, value_bytes)
    write = Write(value_bytes=value_bytes, cxid=100, version=1)
    expected = sent_per_batch(write, count, voters, observers)
    for state, role in (
        (ServerState.LEADING, "leader"), (ServerState.FOLLOWING, "follower"), (ServerState.OBSERVING, "observer")
    ):  # fmt: skip
        for found in counted.of(state):
            assert found == (expected[role].frames, expected[role].bytes), role


def test_relays_send_the_informs_in_the_leaders_place():
    counted = Counted(3, 4, relays=2)
    counted.write(10, 100)
    expected = sent_per_batch(Write(value_bytes=100, cxid=100, version=1), 10, 3, 4, relays=2)
    assert counted.of(ServerState.LEADING) == [(expected["leader"].frames, expected["leader"].bytes)]
    assert counted.of(ServerState.FOLLOWING) == [(expected["relay"].frames, expected["relay"].bytes)] * 2
    assert (
        expected["leader"].frames == sent_per_batch(Write(value_bytes=1, cxid=1, version=1), 1, 3, 0)["leader"].frames
    )


def test_what_a_server_more_costs_the_leader():
    """A voter a PROPOSAL and a COMMIT, an observer an INFORM, which is as long as the PROPOSAL."""
    write = Write(value_bytes=100, cxid=70_000, version=200)
    base, voter, observer = (sent_per_batch(write, 64, *shape)["leader"] for shape in ((3, 0), (4, 0), (3, 1)))
    assert (voter.frames - base.frames, observer.frames - base.frames) == (2, 1)
    commit = FRAME_BYTES + PREFIX_BYTES + 11
    assert voter.bytes - base.bytes == observer.bytes - base.bytes + commit
