"""`sync` at the leader: what has to happen before one is answered (zab.md 5.8, Z-16)."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect
from lab.zab.messages import TxnBatch
from lab.zab.state import PeerState
from lab.zab.zxid import Zxid


@dataclass(frozen=True, slots=True)
class _Waiting:
    after: Zxid  # what was proposed last when it was asked
    round: int  # `sync_mode = quorum`: the first round of pings that begins no earlier
    answer: PeerEffect


class Syncs:
    """The syncs that wait, oldest first; they are answered in that order, into the FIFO of the commits.

    By the leader's word a sync waits for the commit of what was proposed last when it was asked.  By quorum it waits
    until a quorum of voters, the leader included, has shown that it followed this leader later than that: each echoed a
    ping, or acknowledged a proposal, that was sent after the sync had arrived.  Nobody can then have committed anything
    elsewhere before.  What was committed here needs no waiting and no zxid in the answer: its COMMIT has left already.
    """

    def __init__(self, state: PeerState) -> None:
        self.by_quorum = state.config.sync_mode == "quorum"
        self.round = 0  # of pings, the last that has begun; repeated by every ping until the next one begins
        self._me = state.me
        self._quorum = state.quorum
        self._echoed: dict[PeerId, int] = dict.fromkeys(state.config.voters, 0)
        self._waiting: deque[_Waiting] = deque()

    def ask(self, answer: PeerEffect, last_proposed: Zxid) -> None:
        self._waiting.append(_Waiting(last_proposed, self.round + 1, answer))

    def on_echo(self, voter: PeerId, nonce: int) -> None:
        """Of a session of this epoch.  It stays a proof when the session ends: it was sent before."""
        assert nonce <= self.round, f"echo {nonce} of a ping that was never sent: {self.round}"
        self._echoed[voter] = max(self._echoed[voter], nonce)

    def confirmed(self) -> list[PeerEffect]:
        """The answers that the echoes so far allow."""
        over = self._quorum.frontier(self._echoed)
        answers: list[PeerEffect] = []
        while self._waiting and self._waiting[0].round <= over:
            answers.append(self._waiting.popleft().answer)
        return answers

    def begin_round(self) -> bool:
        """Begin a round for all that wait, unless one is on its way; whether it has to be sent."""
        if not self.by_quorum or not self._waiting or self._quorum.frontier(self._echoed) < self.round:
            return False
        self.round += 1
        self._echoed[self._me] = self.round
        return True

    def split(self, committed: list[TxnBatch]) -> Iterator[tuple[list[TxnBatch], list[PeerEffect]]]:
        """Runs of `committed`, each with the answers to the syncs that stand right behind it; the first may be empty.

        An answer must stand before the commit of what was proposed later: that may be a write of the same session,
        which its server could not tell from one that the sync has to wait for (zab.md 5.8, INV-22).  By quorum, too:
        that commit shows as much as a round of pings.
        """
        run: list[TxnBatch] = []
        for batch in committed:
            if self._waiting and self._waiting[0].after < batch.last:
                yield run, self._proposed_before(batch.last)
                run = []
            run.append(batch)
        yield run, ([] if self.by_quorum else self._proposed_before(run[-1].last + 1))

    def _proposed_before(self, zxid: Zxid) -> list[PeerEffect]:
        answers: list[PeerEffect] = []
        while self._waiting and self._waiting[0].after < zxid:
            answers.append(self._waiting.popleft().answer)
        return answers
