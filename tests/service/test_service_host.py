"""The one loop: order of effects, time, malformed frames."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_fakes import FakeClock, FakeLinks, FakeSnapshots, FakeStore, frame

from lab.service import overlay
from lab.service.events import ClientDown
from lab.service.host import (
    CLIENT_FRAME_BYTES_MAX,
    REPLY_FRAME_BYTES_MAX,
    ClientFrame,
    ClientUp,
    ElectionFrame,
    Host,
    Inbound,
    LearnerFrame,
)
from lab.service.requests import Closed, Connect, Connected, Create, CreateOp, Done, GetData, Multi, MultiDone
from lab.service.server import Server
from lab.service.tree import Tree
from lab.zab.config import ZabConfig
from lab.zab.effects import Observed
from lab.zab.events import History, PeerUp, Recovered
from lab.zab.messages import (
    Ack,
    AckEpoch,
    FollowerInfo,
    Notification,
    ServerState,
    Vote,
    encode_message,
)
from lab.zab.zxid import make_zxid

ALONE = ZabConfig(voters=(1,))
SNAPSHOTTING = ZabConfig(voters=(1,), snap_count=2)
TWO = ZabConfig(voters=(1, 2))


class Rig:
    """A host around a fresh server."""

    def __init__(self, me: int, config: ZabConfig) -> None:
        self.log: list[str] = []
        self.observed: list[Observed] = []
        self.clock, self.links, self.store = FakeClock(), FakeLinks(self.log), FakeStore(self.log)
        self.snapshots = FakeSnapshots(self.log)
        recovered = Recovered(0, 0, History(0, (), (), 0), may_vote=True)
        self.server = Server(me, config, recovered, random.Random(0))
        self.host = Host(
            self.server, self.store, self.links, self.clock, self.snapshots, tick_ms=100, observe=self.observed.append
        )
        self.host.start()

    def turn(self, *inbound: Inbound) -> list[str]:
        """One turn with this input; returns what was done, in order."""
        self.links.inbox += inbound
        self.log.clear()
        self.host.turn()
        return list(self.log)

    def replies(self) -> list[object]:
        replies = [reply for _, replies in self.links.replies for reply in replies]
        self.links.replies.clear()
        return replies


def serving() -> Rig:
    """A server alone, with session 5 attached over client link 1."""
    rig = Rig(1, ALONE)
    rig.turn(ClientUp(1), ClientFrame(1, frame(Connect(5, 1, 0))))
    assert isinstance(rig.replies()[0], Connected)
    return rig


def leading_two() -> Rig:
    """Server 2, established, with follower 1 in session 11."""
    rig = Rig(2, TWO)
    vote = encode_message(Notification(ServerState.LOOKING, Vote(0, 0, 2), 1))
    rig.turn(PeerUp(1, 77), ElectionFrame(1, vote))
    for message in (FollowerInfo(0, may_vote=True), AckEpoch(0, 0), Ack(make_zxid(1, 0))):
        rig.turn(LearnerFrame(1, 11, encode_message(message)))
    assert rig.server.peer.phase.name == "BROADCAST"
    return rig


# -- order


@pytest.mark.covers("S74", "INV-9", "X-16")
def test_log_is_flushed_after_the_sends_and_before_the_acknowledgement():
    rig = serving()
    assert rig.turn(ClientFrame(1, frame(Create(1, "/a", b"")))) == [
        "append 0x100000002",
        "publish",  # others' disks work while ours does
        "fsync",
        "reply 1",
        "publish",
    ]
    assert rig.replies() == [Done(1, make_zxid(1, 2), 0)]


@pytest.mark.covers("S9")
def test_one_turn_makes_one_batch_and_one_flush():
    rig = serving()
    inputs = [ClientFrame(1, frame(Create(i, f"/{i}", b""))) for i in range(1, 6)]
    done = rig.turn(*inputs)
    assert [step for step in done if step.startswith("append")] == ["append 0x100000002"]
    assert done.count("fsync") == 1
    assert len(rig.replies()) == 5


@pytest.mark.covers("Z-3", "X-17")
def test_epochs_are_durable_before_they_are_told():
    rig = Rig(2, TWO)
    vote = encode_message(Notification(ServerState.LOOKING, Vote(0, 0, 2), 1))
    rig.turn(PeerUp(1, 77), ElectionFrame(1, vote))
    done = rig.turn(LearnerFrame(1, 11, encode_message(FollowerInfo(0, may_vote=True))))
    assert done.index("accepted 1") < done.index("send 1")
    done = rig.turn(LearnerFrame(1, 11, encode_message(AckEpoch(0, 0))))
    assert done.index("current 1") < done.index("send 1")


@pytest.mark.covers("S56")
def test_states_and_phases_are_observed():
    rig = Rig(1, ALONE)
    assert [type(event).__name__ for event in rig.observed] == ["Entered"] * 4


def test_a_full_overlay_is_emptied_before_more_is_proposed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(overlay, "OVERLAY_PATHS_MAX", 2)
    rig = leading_two()
    rig.turn(ClientUp(1), ClientFrame(1, frame(Connect(5, 1, 0), Create(1, "/a", b""))))  # "/" and "/a" are touched
    last = rig.server.peer.last_zxid
    rig.turn(ClientFrame(1, frame(Create(2, "/b", b""))))
    assert rig.server.peer.last_zxid == last
    assert rig.host.turn() is False  # it waits for the follower, it does not spin
    rig.turn(LearnerFrame(1, 11, encode_message(Ack(last))))
    assert rig.server.peer.last_zxid == last + 1


def test_multis_that_fill_the_overlay_go_out_as_several_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(overlay, "OVERLAY_PATHS_MAX", 4)
    rig = leading_two()
    multis = [Multi(i, [CreateOp(f"/{i}-{j}", b"") for j in range(3)]) for i in range(1, 4)]
    rig.turn(ClientUp(1), ClientFrame(1, frame(Connect(5, 1, 0), *multis)))
    for batches in range(3):  # the connect goes with the first
        last = rig.server.peer.last_zxid
        assert last == make_zxid(1, 2 + batches)
        rig.turn(LearnerFrame(1, 11, encode_message(Ack(last))))
    assert [reply.cxid for reply in rig.replies() if isinstance(reply, MultiDone)] == [1, 2, 3]


# -- time


@pytest.mark.parametrize("ok", [True, False])
def test_a_snapshot_of_the_tree_as_it_was_is_begun_after_what_may_leave_and_ended_when_it_is_written(ok: bool):
    rig = Rig(1, SNAPSHOTTING)
    rig.turn(ClientUp(1), ClientFrame(1, frame(Connect(5, 1, 0))))
    done = rig.turn(ClientFrame(1, frame(Create(1, "/a", b"x"))))
    assert done[-4:] == ["reply 1", "publish", "begin snapshot 0x100000002", "publish"]
    rig.turn(ClientFrame(1, frame(Create(2, "/b", b"y"), Create(3, "/c", b"z"))))
    assert sorted(Tree.load(rig.store.snapshot).nodes) == ["/", "/a"]
    rig.store.outcome = ok
    assert ("keep snapshot" if ok else "drop snapshot") in rig.turn()
    assert "begin snapshot 0x100000005" in rig.turn(ClientFrame(1, frame(Create(4, "/d", b""))))


def test_one_tick_after_a_stall():
    rig = leading_two()
    rig.clock.ms += 450
    assert rig.turn().count("send 1") == 1  # one PING, not four
    assert rig.host.deadline_ms() == rig.clock.ms + 100


def test_timers_run_out_once_and_bound_the_deadline():
    rig = Rig(1, ZabConfig(voters=(1, 2)))
    assert rig.host.deadline_ms() == 100
    rig.clock.ms = 199
    rig.turn()
    assert rig.host.deadline_ms() == 200  # the re-send of the vote
    rig.clock.ms = 200
    assert "notify 2" in rig.turn()
    assert "notify 2" not in rig.turn()


def test_idle_turn_says_so():
    rig = serving()
    assert rig.host.turn() is False


# -- bad input


NO_UTF8 = b"\x91\x93\x04\x01\xa3\xed\xa0\x80"  # GetData of a lone surrogate


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01", frame(Create(1, "/a", b""))[:-1], b"\x91\xc0", NO_UTF8])
def test_malformed_client_frame_costs_the_client_its_link_only(data: bytes):
    rig = serving()
    rig.turn(ClientFrame(1, data))
    assert rig.links.closed_clients == [1]
    rig.turn(ClientUp(2), ClientFrame(2, frame(Connect(6, 1, 0))))
    assert isinstance(rig.replies()[0], Connected)


def test_too_large_client_frame_is_refused():
    rig = serving()
    rig.turn(ClientFrame(1, bytes(CLIENT_FRAME_BYTES_MAX + 1)))
    assert rig.links.closed_clients == [1]


def test_malformed_learner_frame_ends_its_session_only():
    rig = leading_two()
    done = rig.turn(LearnerFrame(1, 11, b"\xff\xff"))
    assert "close session 1" in done
    assert "malformed frame" in rig.server.peer.last_problem
    assert not rig.server.peer.role.handlers  # type: ignore[union-attr]


@pytest.mark.covers("X-6")
def test_malformed_notification_costs_that_message_only():
    rig = Rig(2, TWO)
    rig.turn(PeerUp(1, 77), ElectionFrame(1, b"garbage"))  # ZOOKEEPER-3769
    assert re.search("malformed notification", rig.server.peer.last_problem)
    vote = encode_message(Notification(ServerState.LOOKING, Vote(0, 0, 2), 1))
    rig.turn(ElectionFrame(1, vote))
    assert rig.server.peer.state is ServerState.LEADING


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_no_garbage_ends_the_process(election: bytes, learner: bytes, client: bytes):
    rig = leading_two()
    rig.turn(ElectionFrame(1, election), LearnerFrame(1, 11, learner), ClientUp(9), ClientFrame(9, client))
    rig.turn()


def test_empty_frame_is_nothing_wherever_it_comes():
    looking = Rig(1, ZabConfig(voters=(1, 2)))
    looking.turn(ClientUp(1), ClientFrame(1, frame()))
    looking.turn(ClientFrame(1, frame(Connect(5, 1, 0))), ClientFrame(1, frame()))
    rig = serving()
    rig.turn(ClientFrame(1, frame()))
    assert rig.replies() == []


# -- clients that come and go


def test_client_that_comes_early_is_served_once_the_server_serves():
    rig = Rig(1, ZabConfig(voters=(1, 2)))
    rig.turn(PeerUp(2, 77), ClientUp(1), ClientFrame(1, frame(Connect(5, 1, 0), Create(1, "/a", b""))))
    assert rig.replies() == []


def test_server_that_reaches_no_quorum_refuses_clients_at_once():
    rig = Rig(1, ZabConfig(voters=(1, 2)))
    rig.turn(ClientUp(1), ClientFrame(1, frame(Connect(5, 1, 0), Create(1, "/a", b""))))
    assert rig.replies() == [Closed(5, "this server reaches no quorum", 1)]


def test_client_that_sends_too_much_ahead_is_told():
    rig = Rig(1, ZabConfig(voters=(1, 2)))
    requests = frame(Connect(5, 1, 0), *[Create(1, "/a", bytes(1 << 20))])
    rig.turn(PeerUp(2, 77), ClientUp(1), ClientFrame(1, requests))
    assert rig.replies() == [Closed(5, "this server does not serve", 1)]


def test_many_large_replies_go_out_as_several_frames():
    rig = serving()
    rig.turn(ClientFrame(1, frame(Create(1, "/a", bytes(1 << 20)))))
    rig.links.replies.clear()
    rig.links.frame_bytes.clear()
    rig.turn(ClientFrame(1, frame(*[GetData(cxid, "/a") for cxid in range(2, 42)])))
    assert max(rig.links.frame_bytes) <= REPLY_FRAME_BYTES_MAX
    assert [reply.cxid for reply in rig.replies()] == list(range(2, 42))  # type: ignore[attr-defined]


def test_requests_without_a_session_are_dropped():
    rig = Rig(1, ALONE)
    rig.turn(ClientUp(1), ClientFrame(1, frame(GetData(1, "/"))))
    assert rig.replies() == []


def test_client_that_went_is_forgotten():
    rig = serving()
    rig.turn(ClientFrame(1, frame(Create(1, "/a", b""))), ClientDown(1))
    assert rig.replies() == []


def test_connect_must_come_first_in_its_frame():
    rig = serving()
    rig.turn(ClientFrame(1, frame(GetData(1, "/"), Connect(6, 1, 0))))
    assert rig.links.closed_clients == [1]


@pytest.mark.covers("INV-23")
def test_server_that_has_applied_less_than_the_session_saw_refuses_it():
    rig = serving()
    rig.turn(ClientUp(2), ClientFrame(2, frame(Connect(6, 1, make_zxid(9, 9)))))
    (closed,) = rig.replies()
    assert isinstance(closed, Closed)
    assert "has applied less" in closed.reason
