"""Arithmetic on votes and acknowledgements: strict majorities (zab.md 1.1).  Weights and groups come later, here."""

from collections.abc import Collection, Iterable, Mapping

from lab.zab.config import PeerId
from lab.zab.zxid import Zxid


def is_quorum(members: Iterable[PeerId], voters: Collection[PeerId]) -> bool:
    """Whether `members` hold a strict majority of `voters`; whoever is no voter does not count (INV-16)."""
    return len(set(members).intersection(voters)) > len(voters) // 2


def quorum_frontier(acked: Mapping[PeerId, Zxid]) -> Zxid:
    """The greatest zxid that a majority of the voters in `acked` has reached.  Every voter must have an entry."""
    reached = sorted(acked.values())
    return reached[(len(reached) - 1) // 2]
