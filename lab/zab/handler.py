"""What a leader knows of one learner session (ZooKeeper: LearnerHandler)."""

from dataclasses import dataclass, field

from lab.zab.broadcast import Broadcast
from lab.zab.config import PeerId
from lab.zab.constants import NO_ZXID
from lab.zab.events import Session
from lab.zab.feed import Feed
from lab.zab.phases import Bootstrap
from lab.zab.zxid import Zxid


@dataclass
class Handler:
    """One session; a new session of the same learner gets a new Handler."""

    peer: PeerId
    session: Session
    is_voter: bool
    may_vote: bool
    heard_tick: int  # of the leader's clock, when anything was last heard
    stage: Bootstrap = Bootstrap.CONNECTED
    last_zxid: Zxid = NO_ZXID  # end of the learner's log, as ACKEPOCH showed it
    need_snap: bool = False
    recent_enough: bool = False  # it passed the recency check
    feed: Feed | None = None  # while PULLING
    history_end: Zxid = NO_ZXID  # end of the committed history sent before NEWLEADER, which that one's ack covers
    to: tuple[PeerId, Session] = field(init=False)
    _owed: tuple[Zxid, int] | None = None  # a proposal not acknowledged yet, and the tick at which that was seen

    def __post_init__(self) -> None:
        self.to = (self.peer, self.session)

    def lags(self, broadcast: Broadcast | None, tick: int, limit_ticks: int) -> bool:
        """Whether a proposal sent to this voter has stayed unacknowledged for more than `limit_ticks` (zab.md 5.3)."""
        if broadcast is None or not self.is_voter or self.stage is not Bootstrap.ACTIVE:
            return False
        acked = max(broadcast.acked[self.peer], self.history_end)
        if self._owed is None or acked >= self._owed[0]:
            self._owed = (broadcast.last_proposed, tick) if acked < broadcast.last_proposed else None
        return self._owed is not None and tick - self._owed[1] > limit_ticks
