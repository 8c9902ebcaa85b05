"""What servers say to each other (zab.md 1.5).

Election messages travel on one channel, everything else on the learner channel inside a numbered session (Z-9).
Records are encoded as msgpack arrays whose first element is the tag; types and bounds are checked while decoding, so a
malformed frame is one exception and never a half-read message.
"""

from enum import IntEnum
from typing import Annotated

import msgspec

from lab.zab.constants import NO_ZXID, PEER_ID_MAX, ZXID_MAX
from lab.zab.zxid import Zxid

_Zxid = Annotated[int, msgspec.Meta(ge=0, le=ZXID_MAX)]
_ZxidOrNone = Annotated[int, msgspec.Meta(ge=NO_ZXID, le=ZXID_MAX)]
_Epoch = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
_EpochOrNone = Annotated[int, msgspec.Meta(ge=-1, lt=1 << 31)]
_Count = Annotated[int, msgspec.Meta(ge=1, lt=1 << 32)]
_Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class ServerState(IntEnum):
    """What a server is doing; the values are ZooKeeper's."""

    LOOKING = 0
    FOLLOWING = 1
    LEADING = 2
    OBSERVING = 3


class Phase(IntEnum):
    """Where in Zab a server stands (zab.md 1.4)."""

    ELECTION = 0
    DISCOVERY = 1
    SYNCHRONIZATION = 2
    BROADCAST = 3


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Base of everything that crosses a link or reaches a disk."""


class TxnBatch(Record, frozen=True):
    """A run of consecutive transactions of one epoch: the unit of transfer, not of history (DESIGN 2).

    `body` is a msgpack array of `count` transactions, which only the service can read; `crc` is its CRC-32.
    """

    first: _Zxid
    count: _Count
    crc: int
    body: bytes

    @property
    def last(self) -> Zxid:
        return self.first + self.count - 1


class Vote(Record, frozen=True):
    """A candidate as FLE compares them: its current epoch, its last logged zxid, its id (zab.md 3.4)."""

    epoch: _EpochOrNone
    zxid: _ZxidOrNone
    leader: Annotated[int, msgspec.Meta(ge=0, le=PEER_ID_MAX)]  # 0 = an observer's vote for nobody


class Message(Record, frozen=True):
    """Base of the messages between servers."""


class Notification(Message, tag=20, frozen=True):
    """FLE's one message: the sender's state, its vote and its round (ZooKeeper: Notification)."""

    state: ServerState
    vote: Vote
    round: _Natural
    announce: bool = False  # unasked, from a leader; replies carry False (Z-15)


class FollowerInfo(Message, tag=11, frozen=True):
    """The follower's last promise; opens a learner session.  (Paper: CEPOCH.)  Voter -> leader."""

    accepted_epoch: _Epoch
    may_vote: bool  # False: an unexpectedly empty server, it must not help to choose an epoch (Z-12)


class ObserverInfo(Message, tag=16, frozen=True):
    """As FollowerInfo, from an observer: it raises the epoch but never counts.  Observer -> leader or relay.

    `leader` is whom the observer has decided on, 0 if it does not say: nobody serves it in the name of another.
    """

    accepted_epoch: _Epoch
    leader: Annotated[int, msgspec.Meta(ge=0, le=PEER_ID_MAX)] = 0


class LeaderInfo(Message, tag=17, frozen=True):
    """The new epoch on offer.  (Paper: NEWEPOCH.)  Leader -> learner."""

    epoch: _Epoch


class AckEpoch(Message, tag=18, frozen=True):
    """The promise is given and the history shown.  (Paper: ACK-E.)  Learner -> leader.

    `current_epoch` is -1 when this very epoch was accepted before: such an ack is never counted (Z-12).
    """

    current_epoch: _EpochOrNone
    last_zxid: _ZxidOrNone
    need_snap: bool = False


class Diff(Message, tag=13, frozen=True):
    """Your history is a prefix of mine; what is missing follows."""

    zxid: _Zxid


class Trunc(Message, tag=14, frozen=True):
    """Drop everything after `zxid`, which must be exactly present (Z-11); what is missing follows."""

    zxid: _Zxid


class Snap(Message, tag=15, frozen=True):
    """The whole tree as of `zxid` follows in SnapChunks."""

    zxid: _Zxid


class SnapChunk(Message, tag=21, frozen=True):
    """One piece of the snapshot stream, opaque to Zab; `last` ends it."""

    data: bytes
    last: bool


class NewLeader(Message, tag=10, frozen=True):
    """End of the history that epoch `epoch` begins with.  Leader -> learner."""

    epoch: _Epoch


class UpToDate(Message, tag=12, frozen=True):
    """The leader is established: serve.  (Paper: COMMIT-LD.)  Leader -> learner."""


class Proposal(Message, tag=2, frozen=True):
    """Log these transactions and acknowledge them.  Leader -> learner."""

    batch: TxnBatch


class Ack(Message, tag=3, frozen=True):
    """The sender has `zxid`, and everything before it, on stable storage.  Follower -> leader.

    make_zxid(e, 0) acknowledges NEWLEADER of epoch e.
    """

    zxid: _Zxid


class Commit(Message, tag=4, frozen=True):
    """Everything up to `zxid` is committed.  Leader -> voter."""

    zxid: _Zxid


class Inform(Message, tag=8, frozen=True):
    """These transactions are committed: proposal and commit in one.  Leader -> observer."""

    batch: TxnBatch


class Ping(Message, tag=5, frozen=True):
    """The leader asks, the learner echoes; the zxid is the leader's last proposed one."""

    zxid: _Zxid
    nonce: _Natural = 0  # the last round of pings that serves syncs (Z-16)


class Request(Message, tag=1, frozen=True):
    """Writes of one client session, forwarded to the leader; `body` belongs to the service.  Learner -> leader."""

    body: bytes


class Sync(Message, tag=7, frozen=True):
    """`sync` of some client: asked by a learner, answered in the FIFO of commits (zab.md 5.8).  Both directions."""

    nonce: _Natural


class SyncProgress(Message, tag=22, frozen=True):
    """I am busy with the history, or level and waiting for UPTODATE: do not time me out (Z-18).  Learner -> leader.

    `consumed_bytes` of this session's history, transactions and snapshot chunks, are taken in: send on.
    """

    consumed_bytes: _Natural = 0


LearnerMessage = (
    FollowerInfo
    | ObserverInfo
    | LeaderInfo
    | AckEpoch
    | Diff
    | Trunc
    | Snap
    | SnapChunk
    | NewLeader
    | UpToDate
    | Proposal
    | Ack
    | Commit
    | Inform
    | Ping
    | Request
    | Sync
    | SyncProgress
)

encode_message = msgspec.msgpack.Encoder().encode
decode_notification = msgspec.msgpack.Decoder(Notification).decode
decode_learner_message = msgspec.msgpack.Decoder(LearnerMessage).decode

# What the decoders raise on garbage, and nothing else: a string that is no UTF-8 is not among msgspec's own errors.
MalformedError = (msgspec.MsgspecError, UnicodeDecodeError)
