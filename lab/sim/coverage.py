"""What walks really reach: sync rows, roles, messages per phase, faults, rules (`python -m lab sim --coverage`).

A walk proves something only about what happened in it.  Everything that the tables of `lab.zab.phases`, the rows of
zab.md 4.3 and the rules of 4.7 name is listed, with how often it came about; what never did is said as well.  Rules are
seen from outside: in events and effects, or in a function whose deciding branch ran.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args

from lab.service.server import Server
from lab.sim import window_coverage
from lab.sim.explore import Finding, examine
from lab.sim.mutants.planting import Patch
from lab.sim.observer import MachineEvent, Observer
from lab.sim.plan import AnyPlanned, AnyWindowFault, Links, Planned
from lab.sim.workers import working
from lab.storage import scan
from lab.storage.log import Log
from lab.zab import synchronizer
from lab.zab.broadcast import Broadcast
from lab.zab.config import PeerId
from lab.zab.effects import (
    Append,
    Barrier,
    Entered,
    Install,
    PeerEffect,
    SaveAcceptedEpoch,
    SaveCurrentEpoch,
    Send,
    StreamSnapshot,
    Truncate,
)
from lab.zab.events import Flushed, Notified, PeerDown, PeerUp, Received, SessionClosed, Timeout, Truncated
from lab.zab.handler import Handler
from lab.zab.leader import Leader
from lab.zab.learner import Learner
from lab.zab.messages import AckEpoch, FollowerInfo, ObserverInfo, Phase, Ping, ServerState, SyncProgress
from lab.zab.phases import HANDLER_PHASES, LEARNER_PHASES, Bootstrap
from lab.zab.relay import Relay
from lab.zab.state import PeerState

Counts = Counter[tuple[str, str]]

_SEEDS_A_TASK = 8

ROWS = ("R0b", "R1", "R2", "R3a", "R3d", "R4a", "R4d", "R5")
STATES = (
    *("LOOKING ELECTION",),
    *(
        f"{state} {phase}"
        for state in ("LEADING", "FOLLOWING", "OBSERVING")
        for phase in ("DISCOVERY", "SYNCHRONIZATION")
    ),
    *(f"{state} BROADCAST" for state in ("LEADING", "FOLLOWING", "OBSERVING")),
)
HAPPENINGS = (*(what.value for what in MachineEvent), "link up", "link down", "session closed by the other end")
RULES = {
    "Z-1": "acks of an older session dropped",
    "Z-2": "current epoch repaired before a vote",
    "Z-3": "a Barrier that had appends to wait for",
    "Z-4": "a leader stepped down before a greater promise",
    "Z-6": "a torn tail cut at recovery",
    "Z-9": "a new session, or incarnation, ended an older one",
    "Z-10": "a segment cut inside at a TRUNC",
    "Z-11": "a TRUNC that was not possible",
    "Z-11 SNAP": "a snapshot installed",
    "Z-12": "a server that may not vote",
    "Z-12 -1": "an ACKEPOCH that is not to be counted",
    "Z-13": "a tree kept for a learner",
    "Z-15": "an announcement heard while looking",
    "Z-16": "a round of pings for a sync",
    "Z-17": "a quiet period that ran out",
    "INV-14": "an observer ahead of its relay, which waited",
    "Z-18": "a learner that reported what it had taken in",
}


def named(links: Links = "ideal") -> list[tuple[str, str]]:
    """Everything that walks should reach, in the order of the table."""
    faults = get_args(AnyPlanned) if links == "ideal" else (*get_args(AnyPlanned), *get_args(AnyWindowFault))
    return [
        *(("sync row", row) for row in ROWS),
        *(("state", state) for state in STATES),
        *(("learner gets", f"{message.__name__} in {phase.name}") for phase, message in LEARNER_PHASES),
        *(("leader gets", f"{message.__name__} in {stage.name}") for stage, message in HANDLER_PHASES),
        *(
            ("relay gets", f"{message.__name__} in {stage.name}")
            for stage, message in HANDLER_PHASES
            if stage is not Bootstrap.SYNCED and message is not FollowerInfo
        ),
        *(("happening", what) for what in HAPPENINGS),
        *(("fault", fault.__name__) for fault in faults),
        *(("rule", f"{rule}: {what}") for rule, what in RULES.items()),
        *((window_coverage.SECTION, what.value) for what in window_coverage.Reached if links == "window"),
    ]


class CoverageObserver(Observer):
    """Counts into `counts`."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._running: dict[PeerId, Server] = {}  # as of the last step
        self._unflushed: set[PeerId] = set()

    def _note(self, section: str, what: str) -> None:
        self._counts[section, what] += 1

    def _note_rule(self, rule: str) -> None:
        self._counts["rule", f"{rule}: {RULES[rule]}"] += 1

    def on_stepped(self, server: PeerId, running: Server) -> None:
        self._running[server] = running

    def _role_of(self, server: PeerId) -> Leader | Learner | None:
        running = self._running.get(server)
        return running.peer.role if running is not None else None

    def on_event(self, server: PeerId, event: Any) -> None:
        match event:
            case Received():
                self._on_received(server, event)
            case PeerUp():
                self._note("happening", "link up")
            case PeerDown():
                self._note("happening", "link down")
            case SessionClosed():
                self._note("happening", "session closed by the other end")
            case Truncated(history=None):
                self._note_rule("Z-11")
            case Timeout("finalize"):
                self._note_rule("Z-17")
            case Notified(_, notification) if notification.announce:
                if self._role_of(server) is None:
                    self._note_rule("Z-15")
            case Flushed():
                self._unflushed.discard(server)

    def _on_received(self, server: PeerId, event: Received) -> None:
        role, message = self._role_of(server), event.message
        name = type(message).__name__
        if isinstance(role, Learner) and event.session == role.session:
            self._note("learner gets", f"{name} in {role.phase.name}")
        elif isinstance(role, Learner) and role.relay is not None:
            handler = role.relay.handlers.get(event.sender)
            if isinstance(message, ObserverInfo):
                self._note("relay gets", f"{name} in CONNECTED")
            elif handler is not None and handler.session == event.session:
                self._note("relay gets", f"{name} in {handler.stage.name}")
        elif isinstance(role, Leader):
            handler = role.handlers.get(event.sender)
            if isinstance(message, FollowerInfo | ObserverInfo):
                self._note("leader gets", f"{name} in CONNECTED")
                if handler is not None:
                    self._note_rule("Z-9")
                if role.epoch and message.accepted_epoch > role.epoch:
                    self._note_rule("Z-4")
            elif handler is not None and handler.session == event.session:
                self._note("leader gets", f"{name} in {handler.stage.name}")

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None:
        match effect:
            case Entered(state, phase):
                self._note("state", f"{ServerState(state).name} {Phase(phase).name}")
            case Send(_, FollowerInfo(_, False)):
                self._note_rule("Z-12")
            case Send(_, AckEpoch(-1)):
                self._note_rule("Z-12 -1")
            case Send(_, Ping(_, nonce)) if nonce and isinstance(self._role_of(server), Leader):
                self._note_rule("Z-16")
            case Send(_, SyncProgress(consumed)) if consumed:
                self._note_rule("Z-18")
            case StreamSnapshot():
                self._note_rule("Z-13")
            case Append():
                self._unflushed.add(server)
            case Barrier():
                if server in self._unflushed:
                    self._note_rule("Z-3")
                self._unflushed.discard(server)
            case SaveAcceptedEpoch() | SaveCurrentEpoch() | Truncate() | Install():
                self._unflushed.discard(server)
                if isinstance(effect, Install) and effect.last:
                    self._note_rule("Z-11 SNAP")

    def on_fault(self, at_ms: float, planned: Planned) -> None:  # noqa: ARG002
        self._note("fault", type(planned.fault).__name__)

    def on_machine(self, server: PeerId, what: MachineEvent) -> None:
        self._unflushed.discard(server)
        self._note("happening", what.value)


@contextmanager
def counted(counts: Counts) -> Iterator[None]:
    """Count what shows in no event: functions of the lab, wrapped from outside."""
    patch = Patch()

    def note(rule: str) -> None:
        counts["rule", f"{rule}: {RULES[rule]}"] += 1

    def rows(plain: Callable[..., Any]) -> Callable[..., Any]:
        def plan(*args: Any) -> Any:
            made = plain(*args)
            if made.first is not None:
                counts["sync row", made.row] += 1
            return made

        return plan

    plain_reset, plain_repair = Broadcast.reset_ack, PeerState.repair_current_epoch
    plain_begin = Relay._begin
    plain_cut, plain_cut_to = Log._cut_segment, scan._cut_to

    def reset_ack(self: Broadcast, voter: PeerId) -> None:
        if self.acked[voter] > self._epoch_start:
            note("Z-1")
        plain_reset(self, voter)

    def repair(self: PeerState) -> list[PeerEffect]:
        effects = plain_repair(self)
        if effects:
            note("Z-2")
        return effects

    def begin(self: Relay, handler: Handler) -> list[PeerEffect]:
        effects = plain_begin(self, handler)
        if not effects:
            note("INV-14")
        return effects

    def cut_segment(self: Log, *args: Any) -> None:
        note("Z-10")
        plain_cut(self, *args)

    def cut_to(disk: Any, folder: str, files: Any, chain: Any) -> None:
        if len(files) > chain.start + len(chain.segments):
            note("Z-6")
        plain_cut_to(disk, folder, files, chain)

    try:
        patch(synchronizer, "plan_sync", rows(vars(synchronizer)["plan_sync"]))
        patch(synchronizer, "plan_from_disk", rows(vars(synchronizer)["plan_from_disk"]))
        patch(Broadcast, "reset_ack", reset_ack)
        patch(PeerState, "repair_current_epoch", repair)
        patch(Relay, "_begin", begin)
        patch(Log, "_cut_segment", cut_segment)
        patch(scan, "_cut_to", cut_to)
        window_coverage.count_datagrams(patch, counts)
        yield
    finally:
        patch.undo()


def cover(seed: int, links: Links = "ideal") -> tuple[Finding | None, Counts]:
    """Walk the seed, and count what it reached."""
    counts: Counts = Counter()
    with counted(counts):
        return examine(seed, observers=[CoverageObserver(counts)], links=links), counts


def cover_many(
    seeds: range, workers: int, lifeline: Callable[[], object], links: Links = "ideal"
) -> Generator[tuple[Finding | None, Counts]]:
    """One outcome per seed, in their order, from that many processes; each calls `lifeline` first."""
    with working(workers, lifeline) as pool:
        yield from pool.map(partial(cover, links=links), seeds, chunksize=_SEEDS_A_TASK)


def table(counts: Counts, seeds: int, links: Links = "ideal") -> str:
    """What was reached, and below it what never was."""
    items = named(links)
    width = max(len(what) for _, what in items)
    lines = [
        f"{section:13} {what:{width}} {counts[section, what]:9}" for section, what in items if counts[section, what]
    ]
    missing = [f"{section:13} {what}" for section, what in items if not counts[section, what]]
    return "\n".join([*lines, f"never reached by {seeds} seeds: {len(missing)} of {len(items)}", *missing])
