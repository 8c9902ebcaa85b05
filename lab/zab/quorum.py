"""Which sets of voters decide: strict majorities, of servers or of weights, in one group or several (zab.md 1.1).

Everything that has to hold for the protocol is that any two quorums share a voter.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from lab.zab.config import PeerId, ZabConfig
from lab.zab.zxid import Zxid


class Quorum(Protocol):
    """ZooKeeper: QuorumVerifier."""

    @property
    def electors(self) -> tuple[PeerId, ...]:
        """The voters that have weight, in order: nobody else's vote counts, and nobody else may win (zab.md 3.4)."""

    def contains(self, members: Iterable[PeerId]) -> bool:
        """Whether `members` hold a quorum; whoever is no voter does not count (INV-16)."""

    def frontier(self, acked: Mapping[PeerId, Zxid]) -> Zxid:
        """The greatest zxid that a quorum has reached.  `acked` has an entry for every voter and for nobody else."""


class Majority:
    """More than half of the voters (ZooKeeper: QuorumMaj)."""

    def __init__(self, voters: Iterable[PeerId]) -> None:
        self.electors = tuple(sorted(voters))
        self._voters = frozenset(self.electors)
        self._middle = (len(self.electors) - 1) // 2

    def contains(self, members: Iterable[PeerId]) -> bool:
        return len(self._voters.intersection(members)) > len(self._voters) // 2

    def frontier(self, acked: Mapping[PeerId, Zxid]) -> Zxid:
        return sorted(acked.values())[self._middle]


class Hierarchy:
    """More than half of the weight in each of more than half of the groups (ZooKeeper: QuorumHierarchical).

    Groups without weight do not count as groups.  With a single group it is a majority of weights.
    """

    def __init__(self, groups: Iterable[Mapping[PeerId, int]]) -> None:
        weighty = ({peer: weight for peer, weight in group.items() if weight} for group in groups)
        self._groups = [(group, sum(group.values())) for group in weighty if group]
        self.electors = tuple(sorted(peer for group, _ in self._groups for peer in group))

    def contains(self, members: Iterable[PeerId]) -> bool:
        present = frozenset(members)
        satisfied = [
            2 * sum(weight for peer, weight in group.items() if peer in present) > total
            for group, total in self._groups
        ]
        return 2 * sum(satisfied) > len(satisfied)

    def frontier(self, acked: Mapping[PeerId, Zxid]) -> Zxid:
        reached = sorted(self._group_frontier(group, total, acked) for group, total in self._groups)
        return reached[(len(reached) - 1) // 2]

    @staticmethod
    def _group_frontier(group: Mapping[PeerId, int], total: int, acked: Mapping[PeerId, Zxid]) -> Zxid:
        """The greatest zxid that more than half of the group's weight has reached."""
        weight = 0
        for peer in sorted(group, key=acked.__getitem__, reverse=True):
            weight += group[peer]
            if 2 * weight > total:
                return acked[peer]
        raise AssertionError(f"group {group} weighs less than {total}")


def quorum_of(config: ZabConfig) -> Quorum:
    if not config.weights and not config.groups:
        return Majority(config.voters)
    weights = dict(zip(config.voters, config.weights or (1,) * len(config.voters), strict=True))
    groups = config.groups or (config.voters,)
    return Hierarchy({peer: weights[peer] for peer in group} for group in groups)
