"""Every invariant of zab.md 9.2 objects to a forged history that breaks it, and to nothing in a legal one."""

from collections.abc import Callable

import pytest
from forged import FOLLOWING, LEADING, LOOKING, SESSION, Forge, batch, operation, z

from lab.service.requests import (
    CheckOp,
    Create,
    Created,
    CreateMode,
    CreateOp,
    Data,
    Delete,
    DeleteOp,
    Done,
    ErrorCode,
    Failed,
    GetData,
    Multi,
    MultiDone,
    MultiFailed,
    SetData,
    SetDataOp,
    Sync,
)
from lab.service.transactions import CheckTxn, CreateTxn, ErrorTxn, MultiErrorTxn, MultiTxn, SetDataTxn
from lab.service.tree import Tree
from lab.sim.errors import InvariantError
from lab.sim.invariants.suite import every_invariant
from lab.sim.observer import MachineEvent
from lab.zab.effects import (
    Append,
    Barrier,
    Deliver,
    Entered,
    Install,
    Notify,
    Restore,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Send,
    Truncate,
)
from lab.zab.events import Flushed, History, Notified, Start, Tick, Truncated
from lab.zab.messages import (
    Ack,
    AckEpoch,
    Commit,
    Diff,
    FollowerInfo,
    Inform,
    NewLeader,
    Notification,
    ObserverInfo,
    Phase,
    Ping,
    Proposal,
    Snap,
    Trunc,
    Vote,
)

# -- legal histories


def legal_broadcast(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.lead(3, 1, 1, 2)
    for counter in range(1, 5):
        forge.write(3, batch(f"1.{counter}"), 1, 2)


def legal_late_history(forge: Forge) -> None:
    """2 follows 3; what 1 still sends in a session that 2 has left counts for nothing."""
    legal_broadcast(forge)
    for message in (Diff(z("1.4")), Proposal(batch("1.1")), Proposal(batch("1.2")), Commit(z("1.2"))):
        forge.receive(2, 1, message, session=SESSION + 1)


def legal_failover(forge: Forge) -> None:
    """3 dies with a tail that nobody else has; 2 leads on; 3 comes back and is cut and brought level."""
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"))
    forge.stop(3)
    forge.effects(1, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.effects(2, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.lead(2, 2, 1)
    forge.write(2, batch("2.1"), 1)
    forge.boot(3, end="1.5", epoch=1)
    forge.event(3, Notified(2, Notification(LEADING, Vote(2, z("1.4"), 2), 1)))
    forge.effects(3, Entered(FOLLOWING, Phase.DISCOVERY, 0, 2))
    forge.send(3, 2, FollowerInfo(1, may_vote=True))
    forge.promise(3, 2, 2)
    forge.send(2, 3, Trunc(z("1.4")))
    forge.effects(3, Truncate(2, z("1.4")))
    forge.event(3, Truncated(2, History(0, (), (), z("1.4"))))
    forge.effects(3, Restore(History(0, (), (), z("1.4"))))
    forge.send(2, 3, Proposal(batch("2.1")))
    forge.send(2, 3, Commit(z("2.1")))
    forge.send(2, 3, NewLeader(2))
    forge.effects(3, Append(2, batch("2.1")), SaveCurrentEpoch(2))
    forge.send(3, 2, Ack(z("2.0")))


def legal_wipe(forge: Forge) -> None:
    """A wiped voter is no holder, but cannot elect anybody without one either; a snapshot brings it level (Z-12)."""
    legal_broadcast(forge)
    forge.stop(1)
    forge.machine(1, MachineEvent.WIPED)
    forge.boot(1, end="none")
    forge.event(1, Notified(3, Notification(LEADING, Vote(1, z("0.0"), 3), 1)))
    forge.effects(1, Entered(FOLLOWING, Phase.DISCOVERY, 0, 3))
    forge.send(1, 3, FollowerInfo(0, may_vote=False))
    forge.promise(1, 3, 1)
    forge.send(3, 1, Snap(z("1.4")))
    forge.send(3, 1, NewLeader(1))
    forge.effects(1, Install(2, z("1.4"), b"", True, True), SaveCurrentEpoch(1))
    forge.send(1, 3, Ack(z("1.0")))


@pytest.mark.parametrize("history", [legal_broadcast, legal_failover, legal_late_history, legal_wipe])
def test_a_legal_history_passes(history: Callable[[Forge], None]) -> None:
    history(Forge())


def test_legal_operations_pass() -> None:
    forge, tree = Forge(), Tree()
    txns = (
        CreateTxn(5, 1, "/a", b"1"),
        SetDataTxn(5, 2, "/a", b"2", 1),
        ErrorTxn(5, 3, -103),
        CreateTxn(6, 1, "/a/q-0000000000", b"", CreateMode.PERSISTENT_SEQUENTIAL),
    )
    forge.served(*txns)
    tree.create("/a", b"1", z("1.1"))
    tree.set_data("/a", b"2", 1, z("1.2"))
    tree.create("/a/q-0000000000", b"", z("1.4"))
    forge.rest(
        [
            operation(5, Create(1, "/a", b"1"), Done(1, z("1.1"), 0), 1),
            operation(5, SetData(2, "/a", b"2"), Done(2, z("1.2"), 1), 2),
            operation(5, SetData(3, "/a", b"3", 9), Failed(3, z("1.3"), -103), 3),
            operation(5, GetData(4, "/a"), Data(4, z("1.4"), z("1.2"), 1, b"2"), 5),
            operation(5, Sync(5), Done(5, z("1.4"), 0), 6),
            operation(
                6,
                Create(1, "/a/q-", b"", CreateMode.PERSISTENT_SEQUENTIAL),
                Created(1, z("1.4"), "/a/q-0000000000"),
                4,
                floor="1.3",
            ),
            operation(6, SetData(2, "/a", b"lost"), None),
        ],
        tree,
        servers=(1, 2, 3),
    )


# -- forged ones, one function an invariant


def two_established(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.lead(3, 1, 1)
    forge.effects(2, Entered(LEADING, Phase.BROADCAST, 1, 2))


def two_synchronizing(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.elect(3, 1)
    forge.discover(3, 1, 1)
    forge.effects(2, Entered(LEADING, Phase.SYNCHRONIZATION, 1, 2))


def deposed_leader_commits_what_the_next_one_lacks(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"))
    forge.effects(1, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.effects(2, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.lead(2, 2, 1)
    forge.effects(3, Deliver(batch("1.5")))


def ack_for_a_deposed_leader(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.effects(1, SaveAcceptedEpoch(2))
    forge.effects(1, Send(((3, SESSION),), Ack(z("1.4"))))


def leader_lacks_what_was_committed(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.stop(1, 2, 3)
    forge.boot(1, 2, end="1.3", epoch=1)
    forge.lead(2, 2, 1)


def truncation_leaves_no_durable_quorum(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.lead(3, 1, 1)
    forge.write(3, batch("1.1"), 1)
    forge.effects(1, Truncate(2, 0))
    forge.event(1, Truncated(2, History(0, (), (), 0)))


def installation_leaves_no_durable_quorum(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.lead(3, 1, 1)
    forge.write(3, batch("1.1"), 1)
    forge.effects(1, Install(2, 0, b"", True, True))


def too_many_wiped_disks(forge: Forge) -> None:
    """1 and 2 hold what is committed; 2 is wiped, brought level with too little, and may vote again."""
    legal_broadcast(forge)
    forge.write(3, batch("1.5"), 1)
    forge.stop(1)
    forge.machine(1, MachineEvent.WIPED)
    forge.boot(1, end="none")
    forge.effects(1, SaveAcceptedEpoch(1), Install(2, z("1.4"), b"", True, True), SaveCurrentEpoch(1))


def commit_that_one_disk_holds(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1, 2)
    forge.flush(3, "1.5")
    forge.effects(3, Deliver(batch("1.5")))


def delivers_with_a_gap(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.write(3, batch("1.5"), 1)
    forge.write(3, batch("1.6"), 1)
    forge.effects(2, Deliver(batch("1.6")))


def delivers_other_bytes(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.write(3, batch("1.5"), 1)
    forge.effects(2, Deliver(batch("1.5", data=b"other")))


def delivers_what_nobody_committed(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 2)
    forge.effects(2, Append(1, batch("1.5")), Deliver(batch("1.5")))


def serves_what_nobody_committed(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1)
    forge.stop(1)
    forge.boot(1, end="1.5", epoch=1)
    forge.effects(1, Entered(FOLLOWING, Phase.BROADCAST, 1, 3))


def logs_other_bytes(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1)
    forge.append(1, batch("1.5", data=b"other"))


def logs_an_epoch_behind_another_history(forge: Forge) -> None:
    legal_failover(forge)
    forge.stop(1)
    forge.boot(1, end="1.3", epoch=2)
    forge.append(1, batch("2.1"))


def logs_with_a_hole(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.append(1, batch("1.6"))


def is_level_with_a_shorter_log(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.log[1].clear()
    forge.rest(servers=(1,))


def proposal_again(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.receive(1, 3, Proposal(batch("1.4")))


def commit_before_its_proposal(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.receive(1, 3, Commit(z("1.5")))


def commit_again(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.receive(1, 3, Commit(z("1.3")))


def ack_before_the_flush(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1)
    forge.append(1, batch("1.5"))
    forge.effects(1, Send(((3, SESSION),), Ack(z("1.5"))))


def commit_by_the_leader_alone(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1, 2)
    forge.flush(3, "1.5")
    forge.effects(3, Send(((1, SESSION),), Commit(z("1.5"))))


def inform_before_the_commit(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1, 2)
    forge.effects(3, Send(((4, SESSION),), Inform(batch("1.5"))))


def commit_by_an_ack_of_an_older_session(forge: Forge) -> None:
    """X-47"""
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1, 2)
    forge.log_and_ack(1, 3, batch("1.5"))
    forge.send(1, 3, FollowerInfo(1, may_vote=True), SESSION + 1)
    forge.flush(3, "1.5")
    forge.effects(3, Deliver(batch("1.5")))


def commit_out_of_order(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.effects(3, Deliver(batch("1.6")))


def accepted_epoch_decreases(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.effects(1, SaveAcceptedEpoch(3), SaveAcceptedEpoch(2))


def current_epoch_beyond_the_promise(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.effects(1, SaveCurrentEpoch(2))


def current_epoch_forgotten(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.stop(1)
    forge.boot(1, end="1.4", epoch=0)


def history_beyond_the_current_epoch(forge: Forge) -> None:
    forge.boot(1, end="1.4", epoch=0)


def promise_forgotten(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.effects(1, Send(((3, SESSION),), FollowerInfo(0, may_vote=True)))


def logs_in_an_epoch_it_has_not_entered(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.append(1, batch("2.1"))


def new_leader_acked_before_the_history_is_durable(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.elect(3, 1, 2)
    forge.discover(3, 1, 1, 2)
    forge.receive(1, 3, Diff(z("1.1")))
    forge.receive(1, 3, Proposal(batch("1.1")))
    forge.receive(1, 3, Commit(z("1.1")))
    forge.receive(1, 3, NewLeader(1))
    forge.effects(1, SaveCurrentEpoch(1), Send(((3, SESSION),), Ack(z("1.0"))))


def new_leader_acked_in_an_older_epoch(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.elect(3, 1, 2)
    forge.discover(3, 1, 1, 2)
    forge.receive(1, 3, Diff(0))
    forge.receive(1, 3, NewLeader(1))
    forge.effects(1, Send(((3, SESSION),), Ack(z("1.0"))))


def two_counted_promises(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.effects(1, Send(((3, SESSION),), AckEpoch(1, z("1.4"))))


def truncates_what_it_committed(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.receive(3, 1, FollowerInfo(1, may_vote=True))
    forge.receive(3, 1, AckEpoch(-1, z("1.4")))
    forge.effects(3, Send(((1, SESSION),), Trunc(z("1.3"))))


def snapshot_below_what_is_committed(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.receive(3, 1, FollowerInfo(1, may_vote=True))
    forge.receive(3, 1, AckEpoch(-1, z("1.4")))
    forge.effects(3, Send(((1, SESSION),), Snap(z("1.3"))))


def level_without_the_initial_history(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.write(3, batch("1.5"), 1)
    forge.effects(1, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.effects(2, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.elect(1, 2)
    forge.discover(1, 2, 2)
    forge.effects(2, SaveCurrentEpoch(2), Send(((1, SESSION),), Ack(z("2.0"))))


def level_with_a_divergent_tail(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1)
    forge.append(1, batch("1.5"))
    forge.effects(1, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.effects(2, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.elect(2, 1)
    forge.discover(2, 2, 1)
    forge.effects(1, SaveCurrentEpoch(2), Send(((2, SESSION),), Ack(z("2.0"))))


def observer_completes_the_promises(forge: Forge) -> None:
    forge.boot(1, 2, 3, 4)
    forge.elect(3, 1, 2)
    forge.send(4, 3, ObserverInfo(0))
    forge.effects(3, SaveAcceptedEpoch(1))
    forge.promise(4, 3, 1)
    forge.effects(3, Entered(LEADING, Phase.SYNCHRONIZATION, 1, 3))


def observer_completes_the_acks_of_new_leader(forge: Forge) -> None:
    forge.boot(1, 2, 3, 4)
    forge.elect(3, 1, 2)
    forge.discover(3, 1, 1, 2)
    forge.receive(3, 4, Ack(z("1.0")))
    forge.establish(3, 1)


def wiped_voter_completes_the_promises(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.elect(3, 1, 2)
    forge.send(1, 3, FollowerInfo(0, may_vote=False))
    forge.effects(3, SaveAcceptedEpoch(1))
    forge.promise(1, 3, 1)
    forge.effects(3, Entered(LEADING, Phase.SYNCHRONIZATION, 1, 3))


class _Applied:
    """As much of a server as the invariant looks at."""

    def __init__(self, digest: int) -> None:
        self.applied_zxid, self.tree = z("1.1"), Tree()
        self.tree._sum += digest - self.tree.digest


def two_digests(forge: Forge) -> None:
    legal_broadcast(forge)
    for server in (1, 2):
        forge.effects(server, Deliver(batch("1.5")))
        forge.suite.on_stepped(server, _Applied(server))  # type: ignore[arg-type]


def tree_lacks_a_node(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.rest(servers=(1,))


def digest_of_other_content(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    tree = Tree()
    tree.create("/a", b"", z("1.1"))
    tree._sum += 1
    forge.rest(tree=tree, servers=(1,))


def recovers_less_than_was_durable(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.stop(1)
    forge.boot(1, end="1.3", epoch=1)


def recovers_what_was_truncated(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.lead(3, 1, 1, 2)
    forge.propose(3, batch("1.1"), 1)
    forge.append(1, batch("1.1"))
    forge.effects(1, Truncate(2, 0))
    forge.event(1, Truncated(2, History(0, (), (), 0)))
    forge.stop(1)
    forge.boot(1, end="1.1", epoch=1)


def proposes_before_it_is_established(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.elect(3, 1, 2)
    forge.discover(3, 1, 1, 2)
    forge.propose(3, batch("1.1"), 1)


def logs_what_nobody_proposed(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.append(1, batch("1.5"))


def proposes_with_a_gap(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.6"), 1)


def votes_for_somebody_worse(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.vote(1, leader=3)
    forge.vote(1, leader=2)


def prefers_the_zxid_to_the_epoch(forge: Forge) -> None:
    """E6"""
    forge.boot(1, 2, 3)
    forge.vote(1, leader=1, epoch=3, zxid="1.7")
    forge.vote(1, leader=2, epoch=2, zxid="2.1")


def goes_back_to_an_older_round(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.vote(1, leader=3, round_=5)
    forge.vote(1, leader=3, round_=4)


def follows_without_a_quorum_of_votes(forge: Forge) -> None:
    forge.boot(1, 2, 3)
    forge.vote(1, leader=3)
    forge.effects(1, Entered(FOLLOWING, Phase.DISCOVERY, 0, 3))


def follows_a_leader_on_hearsay(forge: Forge) -> None:
    """Followers report a leader that itself does not say so (checkLeader)."""
    forge.boot(1, 2, 3)
    forge.vote(1, leader=1, round_=7)
    forge.event(1, Notified(2, Notification(FOLLOWING, Vote(1, 0, 3), 1)))
    forge.event(1, Notified(4, Notification(FOLLOWING, Vote(1, 0, 3), 1)))
    forge.effects(1, Entered(FOLLOWING, Phase.DISCOVERY, 0, 3))


def elected_by_an_observer(forge: Forge) -> None:
    forge.boot(1, 2, 3, 4)
    forge.vote(3, leader=3)
    forge.event(3, Notified(4, Notification(LOOKING, Vote(0, 0, 3), 1)))
    forge.effects(3, Entered(LEADING, Phase.DISCOVERY, 0, 3))


def replies_change_places(forge: Forge) -> None:
    forge.served()
    forge.rest(
        [
            operation(5, GetData(1, "/"), Data(1, 0, 0, 0, b""), answered=2),
            operation(5, GetData(2, "/"), Data(2, 0, 0, 0, b""), answered=1),
        ]
    )


def reply_to_another_request(forge: Forge) -> None:
    forge.served()
    forge.rest([operation(5, GetData(1, "/"), Data(2, 0, 0, 0, b""))])


def session_goes_back(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.rest(
        [
            operation(5, Create(1, "/a", b""), Done(1, z("1.1"), 0), answered=1),
            operation(5, GetData(2, "/a"), Failed(2, 0, -101), answered=2),
        ]
    )


def reads_an_older_value(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b"1"), SetDataTxn(5, 2, "/a", b"2", 1))
    forge.rest([operation(5, GetData(3, "/a"), Data(3, z("1.2"), z("1.1"), 0, b"1"))])


def reads_ahead_of_its_zxid(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b"1"), SetDataTxn(5, 2, "/a", b"2", 1))
    forge.rest([operation(5, GetData(3, "/a"), Data(3, z("1.1"), z("1.2"), 1, b"2"))])


def reads_at_a_zxid_of_nobody(forge: Forge) -> None:
    forge.served()
    forge.rest([operation(5, GetData(3, "/a"), Failed(3, z("1.9"), -101))])


def write_ordered_before_what_was_known(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.rest([operation(5, Create(1, "/a", b""), Done(1, z("1.1"), 0), floor="1.2")])


def version_check_skipped(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""), SetDataTxn(5, 2, "/a", b"", 2))
    forge.rest()


def created_twice(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""), CreateTxn(6, 1, "/a", b""))
    forge.rest()


def refused_for_no_reason(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""), ErrorTxn(5, 2, ErrorCode.BAD_VERSION))
    forge.rest([operation(5, SetData(2, "/a", b"", 0), Failed(2, z("1.2"), ErrorCode.BAD_VERSION))])


def refused_for_another_reason(forge: Forge) -> None:
    forge.served(ErrorTxn(5, 1, ErrorCode.NOT_EMPTY))
    forge.rest([operation(5, Delete(1, "/a"), Failed(1, z("1.1"), ErrorCode.NOT_EMPTY))])


def condition_not_looked_at(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""), SetDataTxn(5, 2, "/a", b"", 1))
    forge.rest([operation(5, SetData(2, "/a", b"", 7), Done(2, z("1.2"), 1))])


def multi_refused_at_another_op(forge: Forge) -> None:
    errors = [ErrorCode.OK, ErrorCode.NO_NODE, ErrorCode.RUNTIME_INCONSISTENCY]
    forge.served(CreateTxn(5, 1, "/a", b""), MultiErrorTxn(5, 2, errors))
    ops = [CreateOp("/b", b""), SetDataOp("/b", b""), DeleteOp("/c")]
    forge.rest([operation(5, Multi(2, ops), MultiFailed(2, z("1.2"), errors))])


def multi_check_not_looked_at(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""), MultiTxn(5, 2, [CheckTxn(0, 0, "/a", 0)]))
    forge.rest([operation(5, Multi(2, [CheckOp("/a", 3)]), MultiDone(2, z("1.2"), [0]))])


def acknowledged_but_lost(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.rest([operation(6, Create(1, "/b", b""), Done(1, z("1.2"), 0))])


def acknowledged_at_anothers_zxid(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.rest([operation(6, Create(1, "/a", b""), Done(1, z("1.1"), 0))])


def acknowledged_as_failed(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.rest([operation(5, Create(1, "/a", b""), Failed(1, z("1.1"), -110))])


def told_another_version(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""), SetDataTxn(5, 2, "/a", b"", 1))
    forge.rest([operation(5, SetData(2, "/a", b""), Done(2, z("1.2"), 7))])


def number_used_again(forge: Forge) -> None:
    forge.served(
        CreateTxn(5, 1, "/q-0000000000", b"", CreateMode.PERSISTENT_SEQUENTIAL),
        CreateTxn(5, 2, "/r-0000000000", b"", CreateMode.PERSISTENT_SEQUENTIAL),
    )
    forge.rest()


def told_another_name(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/q-0000000000", b"", CreateMode.PERSISTENT_SEQUENTIAL))
    request = Create(1, "/q-", b"", CreateMode.PERSISTENT_SEQUENTIAL)
    forge.rest([operation(5, request, Created(1, z("1.1"), "/q-0000000001"))])


def applied_twice(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""), SetDataTxn(5, 2, "/a", b"", 1), SetDataTxn(5, 2, "/a", b"", 2))
    forge.rest()


def failed_but_took_effect(forge: Forge) -> None:
    forge.served(CreateTxn(5, 1, "/a", b""))
    forge.rest([operation(5, Create(1, "/a", b""), Failed(1, z("1.1"), -110))])


def leads_on_unheard(forge: Forge) -> None:
    legal_broadcast(forge)
    for _ in range(13):
        forge.event(3, Tick())


def minority_commits_a_new_proposal(forge: Forge) -> None:
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1, 2)
    forge.suite.on_partition([[3], [1, 2]])
    forge.effects(3, Deliver(batch("1.5")))  # may be: acks that had arrived
    forge.propose(3, batch("1.6"))
    forge.effects(3, Deliver(batch("1.6")))


FORGED = {
    "INV-1": [two_established],
    "INV-2": [two_synchronizing],
    "INV-3": [deposed_leader_commits_what_the_next_one_lacks],
    "INV-4": [ack_for_a_deposed_leader],
    "INV-5": [
        leader_lacks_what_was_committed,
        truncation_leaves_no_durable_quorum,
        installation_leaves_no_durable_quorum,
        too_many_wiped_disks,
        commit_that_one_disk_holds,
    ],
    "INV-6": [
        delivers_with_a_gap,
        delivers_other_bytes,
        delivers_what_nobody_committed,
        serves_what_nobody_committed,
    ],
    "INV-6b": [logs_other_bytes, logs_an_epoch_behind_another_history],
    "INV-7": [logs_with_a_hole, is_level_with_a_shorter_log],
    "INV-8": [proposal_again, commit_before_its_proposal, commit_again],
    "INV-9": [
        ack_before_the_flush,
        commit_by_the_leader_alone,
        inform_before_the_commit,
        commit_by_an_ack_of_an_older_session,
    ],
    "INV-10": [commit_out_of_order],
    "INV-11": [
        accepted_epoch_decreases,
        current_epoch_beyond_the_promise,
        current_epoch_forgotten,
        history_beyond_the_current_epoch,
        promise_forgotten,
        logs_in_an_epoch_it_has_not_entered,
    ],
    "INV-12": [new_leader_acked_before_the_history_is_durable, new_leader_acked_in_an_older_epoch],
    "INV-13": [two_counted_promises],
    "INV-14": [truncates_what_it_committed, snapshot_below_what_is_committed],
    "INV-15": [level_without_the_initial_history, level_with_a_divergent_tail],
    "INV-16": [
        observer_completes_the_promises,
        observer_completes_the_acks_of_new_leader,
        wiped_voter_completes_the_promises,
    ],
    "INV-17": [two_digests, tree_lacks_a_node, digest_of_other_content],
    "INV-18": [recovers_less_than_was_durable, recovers_what_was_truncated],
    "INV-19": [proposes_before_it_is_established, logs_what_nobody_proposed, proposes_with_a_gap],
    "INV-20": [votes_for_somebody_worse, prefers_the_zxid_to_the_epoch, goes_back_to_an_older_round],
    "INV-21": [follows_without_a_quorum_of_votes, follows_a_leader_on_hearsay, elected_by_an_observer],
    "INV-22": [replies_change_places, reply_to_another_request, session_goes_back],
    "INV-23": [reads_an_older_value, reads_ahead_of_its_zxid, reads_at_a_zxid_of_nobody],
    "INV-24": [
        write_ordered_before_what_was_known,
        version_check_skipped,
        created_twice,
        refused_for_no_reason,
        refused_for_another_reason,
        condition_not_looked_at,
        multi_refused_at_another_op,
        multi_check_not_looked_at,
    ],
    "INV-25": [acknowledged_but_lost, acknowledged_at_anothers_zxid, acknowledged_as_failed, told_another_version],
    "INV-27": [number_used_again, told_another_name],
    "INV-29": [applied_twice, failed_but_took_effect],
    "INV-30": [leads_on_unheard],
    "INV-31": [minority_commits_a_new_proposal],
}

CASES = [(name, forged) for name, forgeries in FORGED.items() for forged in forgeries]


@pytest.mark.parametrize(("name", "forged"), CASES, ids=[f"{name}-{forged.__name__}" for name, forged in CASES])
def test_a_forged_history_is_objected_to(name: str, forged: Callable[[Forge], None]) -> None:
    with pytest.raises(InvariantError, match=f"^{name}: ") as found:
        forged(Forge(name))
    assert found.value.invariant == name


def test_every_invariant_has_a_forgery() -> None:
    assert [kind.name for kind in every_invariant()] == list(FORGED)


# -- what is legal though it looks alike


def test_a_leader_established_late_owes_nothing_to_later_epochs() -> None:
    """INV-3, INV-5: seed 1527 established epoch 1 by acks that were under way while epoch 2 committed."""
    forge = Forge(voters=(1, 2, 3, 5, 6))
    forge.boot(1, 2, 3, 5, 6)
    forge.elect(5, 1, 2)
    forge.discover(5, 1, 1, 2)
    forge.synchronize(5, 1, 1, 2)
    for server in (1, 2):
        forge.effects(server, Entered(LOOKING, Phase.ELECTION, 1, 0))
    forge.lead(3, 2, 1, 2)
    forge.write(3, batch("2.1"), 1, 2)
    forge.establish(5, 1)


def test_a_torn_tail_and_an_unfinished_truncation_recover_in_part() -> None:
    """INV-18: of what was in hand when the process died, any part may be there."""
    for end in ("1.1", "1.2", "1.3", "1.4"):
        forge = Forge()
        legal_broadcast(forge)
        forge.effects(1, Truncate(2, z("1.1")))
        forge.stop(1)
        forge.boot(1, end=end, epoch=1)


def test_a_repair_at_recovery_makes_nothing_durable_that_was_not() -> None:
    """INV-18, Z-2: currentEpoch is saved after a recovery that lost an append which was never flushed."""
    forge = Forge()
    legal_broadcast(forge)
    forge.propose(3, batch("1.5"), 1)
    forge.append(1, batch("1.5"))
    forge.stop(1)
    forge.machine(1, MachineEvent.STARTED)
    forge.event(1, Start())
    forge.effects(1, Restore(History(0, (), (), z("1.4"))), SaveCurrentEpoch(1), Entered(LOOKING, Phase.ELECTION, 1, 0))


def test_a_leader_that_is_heard_stays() -> None:
    """INV-30"""
    forge = Forge()
    legal_broadcast(forge)
    for _ in range(30):
        forge.event(3, Tick())
        forge.receive(3, 1, Ping(z("1.4")))


def test_a_majority_goes_on_and_a_healed_minority_too() -> None:
    """INV-31"""
    forge = Forge()
    legal_broadcast(forge)
    forge.suite.on_partition([[1, 3], [2]])
    forge.write(3, batch("1.5"), 1)
    forge.suite.on_partition([[3], [1, 2]])
    forge.suite.on_partition(())
    forge.write(3, batch("1.6"), 1)


def test_a_flush_covers_what_was_acked() -> None:
    """INV-9: one flush for several appends; the ack of the last covers all (Z-10)."""
    forge = Forge()
    legal_broadcast(forge)
    for text in ("1.5", "1.6"):
        forge.propose(3, batch(text), 1)
        forge.append(1, batch(text))
    forge.event(1, Flushed(1, z("1.6")))
    forge.effects(1, Send(((3, SESSION),), Ack(z("1.6"))))


def test_only_what_is_asked_for_is_checked() -> None:
    ack_before_the_flush(Forge("INV-1"))


def test_a_ballot_by_reply_counts_like_any_other() -> None:
    """INV-20, INV-21: a vote told to one server is a vote."""
    forge = Forge()
    forge.boot(1, 2, 3)
    notification = Notification(LOOKING, Vote(0, 0, 3), 1)
    forge.effects(1, Notify((3,), notification))
    forge.event(1, Notified(3, notification))
    forge.effects(1, Entered(FOLLOWING, Phase.DISCOVERY, 0, 3))


def test_recovery_of_a_prepared_disk_is_taken_as_it_is() -> None:
    forge = Forge()
    forge.machine(1, MachineEvent.STARTED)
    forge.event(1, Start())
    forge.effects(1, Restore(History(0, (), (), z("1.7"))), Entered(LOOKING, Phase.ELECTION, 1, 0))


# -- weights


def test_a_voter_without_weight_must_not_lead() -> None:
    """INV-21 (zab.md 3.4), whoever votes for it."""
    forge = Forge("INV-21", weights=(1, 1, 0))
    forge.boot(1, 2, 3)
    with pytest.raises(InvariantError, match="takes 3 for the leader, which may not win"):
        forge.elect(3, 1, 2)


def test_the_only_voter_with_weight_leads_by_its_own_vote() -> None:
    """INV-21: it has nobody to tell."""
    forge = Forge(weights=(0, 1, 0))
    forge.boot(1, 2, 3)
    forge.effects(2, Entered(LEADING, Phase.DISCOVERY, 0, 2))


def test_what_a_barrier_waited_for_may_be_committed_in_the_same_step() -> None:
    """INV-5, INV-9: a leader alone, with `leader_log_first`."""
    forge = Forge(voters=(1,), leader_log_first=True)
    forge.boot(1)
    forge.lead(1, 1)
    forge.append(1, batch("1.1"))
    forge.effects(1, Barrier(), Deliver(batch("1.1")))
