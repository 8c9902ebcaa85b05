"""Votes, and whom a server believes to be the leader."""

from collections.abc import Mapping

from lab.sim.mutants.planting import Patch, mutant
from lab.zab import election
from lab.zab.config import PeerId
from lab.zab.election import Election
from lab.zab.leader import Leader
from lab.zab.messages import Notification, Vote

E6 = """
ensemble 3
disk 1 accepted=3 current=3 log=1.1-1.7
disk 2 accepted=2 current=2 log=1.1-1.7,2.1
start 1 2
advance 3000
"""


@mutant("E6, S60, INV-20", scenario_name="E6", scenario=E6)
def vote_order_by_zxid_first(patch: Patch) -> None:
    """Candidates are compared by their last zxid before their current epoch."""

    def is_better(new: Vote, current: Vote) -> bool:
        return (new.zxid, new.epoch, new.leader) > (current.zxid, current.epoch, current.leader)

    patch(election, "is_better", is_better)


@mutant("INV-20")
def vote_for_the_last_heard(patch: Patch) -> None:
    """A server adopts every vote that it hears, better or not."""
    patch(election, "is_better", lambda new, current: new != current)


HEARSAY = """
ensemble 5
start 2 3 4 5
serve
crash 5
serve
start 5
serve
freeze 4
start 1
advance 100
"""


@mutant("INV-21, zab.md 3.7 (checkLeader)", scenario_name="hearsay of a frozen leader", scenario=HEARSAY)
def leader_believed_on_hearsay(patch: Patch) -> None:
    """Followers' reports are enough to follow a leader that itself may be dead."""

    def is_confirmed(_: Election, reports: Mapping[PeerId, Notification], leader: PeerId) -> bool:  # noqa: ARG001
        return True

    patch(Election, "_is_confirmed", is_confirmed)


@mutant("INV-21")
def own_vote_is_enough(patch: Patch) -> None:
    """A server decides for its candidate without the votes of a quorum."""
    patch(Election, "_has_quorum", lambda self: self.vote.leader != 0)


@mutant("INV-30, 6.1")
def leader_never_gives_up(patch: Patch) -> None:
    """A leader that has lost its quorum goes on leading."""
    plain = Leader._has_quorum

    def has_quorum(self: Leader) -> bool:
        plain(self)
        return True

    patch(Leader, "_has_quorum", has_quorum)
