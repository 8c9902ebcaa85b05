"""Marks to phases: they telescope to the outage, and belong to the epoch that served."""

import random

import pytest

from lab.bench.phases import observers_rejoined_ns, outage_phases_ns
from lab.bench.record import PHASES
from lab.targets.target import PhaseMark, TargetError


def entered(at_ns, server, state, phase, epoch=1, leader=0):
    return PhaseMark(server=server, at_ns=at_ns, what="entered", state=state, phase=phase, epoch=epoch, leader=leader)


def committed(at_ns, server, epoch):
    return PhaseMark(
        server=server, at_ns=at_ns, what="first_commit", state="leading", phase="broadcast", epoch=epoch, leader=server
    )


STORY = (
    entered(5, 2, "following", "broadcast", 1),  # before the fault: not ours
    committed(6, 1, 1),
    entered(110, 3, "looking", "election"),
    entered(112, 2, "looking", "election"),
    entered(130, 3, "leading", "discovery"),
    entered(131, 2, "following", "discovery"),
    entered(145, 3, "leading", "synchronization", 2),
    entered(160, 3, "leading", "broadcast", 2),
    entered(161, 2, "following", "broadcast", 2),
    committed(172, 3, 2),
    entered(500, 1, "looking", "election"),  # the restarted server
    entered(520, 1, "following", "broadcast", 2),
)
SPLIT = dict(zip(PHASES, (10, 20, 15, 15, 12, 8), strict=True))


def test_an_outage_is_split_at_the_marks_of_the_new_leader():
    assert outage_phases_ns(STORY, 100, 180, 2) == SPLIT


def test_the_order_of_the_marks_does_not_matter():
    marks = list(STORY)
    for seed in range(5):
        random.Random(seed).shuffle(marks)
        assert outage_phases_ns(marks, 100, 180, 2) == SPLIT


def test_failed_attempts_before_the_epoch_that_served_count_as_election():
    failed = (
        entered(115, 2, "leading", "discovery"),  # another server tried first,
        entered(120, 2, "looking", "election"),
        entered(118, 3, "leading", "discovery"),  # and the later leader once in vain
        entered(119, 3, "leading", "synchronization", 2),
        entered(121, 3, "looking", "election"),
    )
    served = [*STORY, *failed]
    assert outage_phases_ns(served, 100, 180, 2) == SPLIT


def test_the_frozen_or_cut_off_leader_does_not_count_as_the_new_one():
    late = (entered(400, 1, "leading", "broadcast", 1), committed(401, 1, 1))
    assert outage_phases_ns([*STORY, *late], 100, 180, 2) == SPLIT


def test_phases_of_no_length_and_below_still_sum_to_the_outage():
    marks = [
        entered(100, 3, "looking", "election"),
        entered(100, 3, "leading", "discovery"),
        entered(100, 3, "leading", "synchronization", 2),
        entered(103, 3, "leading", "broadcast", 2),
        committed(109, 3, 2),  # the host reads the clock after it sent the reply
    ]
    phases = outage_phases_ns(marks, 100, 108, 2)
    assert phases["first_ack"] == -1
    assert sum(phases.values()) == 8


@pytest.mark.parametrize("missing", [
    ("looking", "election"), ("leading", "discovery"), ("leading", "synchronization"), ("leading", "broadcast"),
])  # fmt: skip
def test_a_missing_mark_is_named(missing):
    marks = [mark for mark in STORY if (mark.state, mark.phase) != missing or mark.what == "first_commit"]
    with pytest.raises(TargetError, match="no server reported"):
        outage_phases_ns(marks, 100, 180, 2)


def test_a_missing_first_commit_is_named():
    with pytest.raises(TargetError, match="first commit of epoch 2"):
        outage_phases_ns([mark for mark in STORY if mark.what == "entered"], 100, 180, 2)


def test_observers_rejoin_after_the_leader_is_established():
    marks = [
        *STORY,
        entered(175, 5, "observing", "broadcast", 2),
        entered(168, 4, "observing", "broadcast", 2),
        entered(190, 4, "observing", "broadcast", 2),  # fell out and came again: the first counts
        entered(50, 4, "observing", "broadcast", 1),
    ]
    assert observers_rejoined_ns(marks, 2) == [8, 15]
