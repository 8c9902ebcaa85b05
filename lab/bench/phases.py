"""From the marks that servers report to the phases of an outage (zab.md, appendix B).

All times are CLOCK_MONOTONIC nanoseconds of one host, so phases are differences of readings of one clock; what ran on
other hosts was put into it, to its `doubt_ns`.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

from lab.bench.record import PHASES
from lab.targets.target import PhaseMark, TargetError

T = TypeVar("T", int, tuple[int, int])  # a time, or a time and a server


def outage_phases_ns(marks: Sequence[PhaseMark], fault_ns: int, ack_ns: int, epoch: int) -> dict[str, int]:
    """The PHASES of one outage: from the fault (T0) to the first acknowledged write (T8), which was one of `epoch`.

    T1 is the first server's leaving its role; T3, T4 and T5 are those of the leader that established `epoch`, whatever
    attempts failed before.  A phase may come out as 0 or, where two processes read the clock around one message,
    slightly below; the sum is always the outage.  Raises TargetError if a mark is missing.
    """
    after = [mark for mark in marks if mark.at_ns >= fault_ns - mark.doubt_ns]
    looking = (mark.at_ns for mark in after if _entered(mark) and mark.state == "looking")
    detected = _first("that it noticed the fault", looking)
    own = [mark for mark in after if mark.epoch == epoch]
    leading = [mark for mark in after if _entered(mark) and mark.state == "leading"]
    established = _first(
        f"the leader that established epoch {epoch}",
        ((m.at_ns, m.server) for m in own if _entered(m) and (m.state, m.phase) == ("leading", "broadcast")),
    )
    served_ns, leader = established
    promised = _last(
        f"the quorum of promises for epoch {epoch}",
        (m.at_ns for m in leading if m.server == leader and m.phase == "synchronization" and m.at_ns <= served_ns),
    )
    decided = _last(
        f"the decision for server {leader} as leader of epoch {epoch}",
        (m.at_ns for m in leading if m.server == leader and m.phase == "discovery" and m.at_ns <= promised),
    )
    committed = _first(f"the first commit of epoch {epoch}", (m.at_ns for m in own if m.what == "first_commit"))
    instants = (fault_ns, detected, decided, promised, served_ns, committed, ack_ns)
    lengths = (later - earlier for earlier, later in pairwise(instants))
    phases = dict(zip(PHASES, lengths, strict=True))
    assert sum(phases.values()) == ack_ns - fault_ns, (phases, fault_ns, ack_ns)
    return phases


def observers_rejoined_ns(marks: Sequence[PhaseMark], epoch: int) -> list[int]:
    """Per observer, in the order of their ids: how long after the leader was established it served again (T6 - T5)."""
    own = [mark for mark in marks if _entered(mark) and mark.phase == "broadcast" and mark.epoch == epoch]
    established = _first(f"the leader that established epoch {epoch}", (m.at_ns for m in own if m.state == "leading"))
    first: dict[int, int] = {}
    for mark in sorted(own, key=lambda mark: mark.at_ns):
        if mark.state == "observing":
            first.setdefault(mark.server, mark.at_ns - established)
    return [first[server] for server in sorted(first)]


def _entered(mark: PhaseMark) -> bool:
    return mark.what == "entered"


def _first(what: str, found: Iterable[T]) -> T:
    return min(_some(what, found))


def _last(what: str, found: Iterable[T]) -> T:
    return max(_some(what, found))


def _some(what: str, found: Iterable[T]) -> list[T]:
    every = list(found)
    if not every:
        raise TargetError(f"no server reported {what}: the outage cannot be split into phases")
    return every
