"""Any well-formed message in any state: who breaks the protocol costs a session or a role, never the process."""

from hypothesis import given, settings
from hypothesis import strategies as st
from zab_parties import (
    WITH_OBSERVER,
    Party,
    batch,
    elected_leader,
    established_leader,
    history,
    looking_learner,
    serving_learner,
)

from lab.zab.batches import make_batch
from lab.zab.constants import COUNTER_MAX, EPOCH_MAX
from lab.zab.effects import Append, Barrier, Install, Notify, SaveAcceptedEpoch, SaveCurrentEpoch, Send, Truncate
from lab.zab.events import (
    Flushed,
    Notified,
    PeerDown,
    PeerEvent,
    PeerUp,
    Received,
    SessionClosed,
    Tick,
    Timeout,
    Truncated,
)
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Inform,
    LeaderInfo,
    NewLeader,
    Notification,
    ObserverInfo,
    Ping,
    Proposal,
    ServerState,
    Snap,
    SnapChunk,
    Sync,
    SyncProgress,
    Trunc,
    UpToDate,
    Vote,
    decode_learner_message,
    decode_notification,
    encode_message,
)
from lab.zab.zxid import make_zxid

epochs = st.integers(0, 4) | st.sampled_from((EPOCH_MAX - 1, EPOCH_MAX))
counters = st.integers(0, 4) | st.sampled_from((COUNTER_MAX - 1, COUNTER_MAX))
zxids = st.builds(make_zxid, epochs, counters)
honest_batches = st.builds(
    lambda epoch, counter, n: batch(make_zxid(epoch, counter), n), epochs, st.integers(1, 4), st.integers(1, 3)
)
bodies = st.sampled_from(
    (b"", b"\xc1", b"\x90", b"\x92\x01", b"\x92\x01\xc1", b"\x93\x01\x02\x03", b"\xdd\xff\xff\xff\xff")
)
lying_batches = st.builds(make_batch, zxids, st.integers(1, 3) | st.just(COUNTER_MAX), bodies)
batches = honest_batches | lying_batches
messages = st.one_of(
    st.builds(FollowerInfo, epochs, st.booleans()),
    st.builds(ObserverInfo, epochs),
    st.builds(LeaderInfo, epochs),
    st.builds(AckEpoch, st.just(-1) | epochs, st.just(-1) | zxids, st.booleans()),
    st.builds(Diff, zxids),
    st.builds(Trunc, zxids),
    st.builds(Snap, zxids),
    st.builds(SnapChunk, st.just(b""), st.booleans()),
    st.builds(NewLeader, epochs),
    st.just(UpToDate()),
    st.builds(Proposal, batches),
    st.builds(Ack, zxids),
    st.builds(Commit, zxids),
    st.builds(Inform, batches),
    st.builds(Ping, zxids),
    st.builds(Sync, st.integers(0, 3)),
    st.just(SyncProgress()),
)
votes = st.builds(Vote, st.just(-1) | epochs, st.just(-1) | zxids, st.integers(0, 9))
rounds = st.integers(0, 5) | st.sampled_from(((1 << 63) - 2, (1 << 63) - 1))
notifications = st.builds(Notification, st.sampled_from(ServerState), votes, rounds, st.booleans())
others = st.integers(1, 4)
sessions = st.one_of(st.sampled_from((11, 21)), st.just(0))  # 0: the session in force, if there is one
events = st.one_of(
    st.builds(Received, others, sessions, messages),
    st.builds(Received, st.just(3), st.just(0), messages),
    st.builds(Notified, others, notifications),
    st.builds(PeerUp, others, st.integers(1, 3)),
    st.builds(PeerDown, others, st.integers(1, 3)),
    st.builds(SessionClosed, others, sessions),
    st.just(Flushed(0, 0)),  # stands for: what was appended is durable now
    st.just(Tick()),
    st.sampled_from((Timeout("notify"), Timeout("finalize"))),
)
STARTS = (
    lambda: Party(1, WITH_OBSERVER),
    lambda: elected_leader(WITH_OBSERVER),
    lambda: established_leader(WITH_OBSERVER),
    looking_learner,
    serving_learner,
    lambda: serving_learner(4),
)


class HonestHost:
    """Carries out storage effects as `lab.zab.effects` says; everybody else may lie."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self._unflushed: Flushed | None = None

    def play(self, event: PeerEvent) -> None:
        me, in_force = self.party.peer.me, getattr(self.party.peer.role, "session", 0)
        match event:
            case Received(sender, 0, message):
                event = Received(sender, in_force, message)
            case Flushed() if self._unflushed is None:
                return
            case Flushed():
                event, self._unflushed = self._unflushed, None
        if getattr(event, "sender", getattr(event, "peer", 0)) != me:
            self._step(event)

    def _step(self, event: PeerEvent) -> None:
        for effect in self.party.step(event):
            match effect:
                case Send(_, message):  # whatever it was told: what it says itself is in bounds
                    assert decode_learner_message(encode_message(message)) == message
                case Notify(_, notification):
                    assert decode_notification(encode_message(notification)) == notification
                case Append(gen, appended):
                    self._unflushed = Flushed(gen, appended.last)
                case SaveAcceptedEpoch() | SaveCurrentEpoch() | Install() | Barrier():
                    self._unflushed = None
                case Truncate(gen, zxid):
                    self._unflushed = None
                    self._step(Truncated(gen, history(base=zxid) if zxid % 2 else None))


@settings(max_examples=300)
@given(st.sampled_from(STARTS), st.lists(events, max_size=25))
def test_no_peer_ends_another_ones_process(start, script: list[PeerEvent]):  # type: ignore[no-untyped-def]
    host = HonestHost(start())
    for event in script:
        host.play(event)
    assert host.party.peer.state in ServerState
