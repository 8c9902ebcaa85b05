"""What happens to the ensemble of one seed, as data: drawn before the walk, so that it can be replayed and reduced.

Every fault says when it ends, and draws what it needs at random from its own number: without its neighbours it does
the same.  A server id may be LEADER: whoever leads when the fault strikes.
"""

from typing import Annotated, Literal

import msgspec

from lab.zab.config import PeerId

LEADER: PeerId = 0
Links = Literal["ideal", "window"]  # what carries frames between servers: nothing real, or sessions of datagrams

Milliseconds = float
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class PlannedFault(msgspec.Struct, frozen=True, tag_field="fault", tag=str.lower):
    """Base of the faults of a plan."""

    def __str__(self) -> str:
        fields = (f"{name} {_show(name, getattr(self, name))}" for name in self.__struct_fields__)
        return " ".join((type(self).__name__, *fields))


def _show(name: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "leader" if value == LEADER and name in ("server", "source", "target", "a", "b") else str(value)


class Kill(PlannedFault, frozen=True):
    """The process dies.  Peers learn it within `notice_ms`, each on its own; None: by silence only."""

    server: PeerId
    down_ms: Milliseconds
    notice_ms: Milliseconds | None


class PowerCut(PlannedFault, frozen=True):
    """These machines lose power together; of each thing that was not durable this share survives, in any order."""

    servers: tuple[PeerId, ...]
    down_ms: Milliseconds
    keeps: Share


class KillBetweenEffects(PlannedFault, frozen=True):
    """The process dies between two effects, perhaps of one step: so many more are carried out.  `keeps`: no power."""

    server: PeerId
    effects: int
    down_ms: Milliseconds
    keeps: Share | None


class KillInDiskOperation(PlannedFault, frozen=True):
    """The process dies in a later operation of its disk, perhaps while it starts; a write is done in part (`torn`)."""

    server: PeerId
    operations: int
    torn: Share
    down_ms: Milliseconds
    keeps: Share | None


class Storm(PlannedFault, frozen=True):
    """The process dies again and again, shortly after each start."""

    server: PeerId
    times: int
    every_ms: Milliseconds


class Pause(PlannedFault, frozen=True):
    """The process stands still: it keeps its links and answers nothing."""

    server: PeerId
    for_ms: Milliseconds


class ClockRate(PlannedFault, frozen=True):
    """The server's clock, and so its timers and ticks, run this much as fast as others'."""

    server: PeerId
    rate: float
    for_ms: Milliseconds


class ClockJump(PlannedFault, frozen=True):
    """The server's clock jumps ahead, as after a stall."""

    server: PeerId
    ahead_ms: Milliseconds


class Split(PlannedFault, frozen=True):
    """Links between groups break; who is in none stands alone.  Each end learns it within `notice_ms`."""

    groups: tuple[tuple[PeerId, ...], ...]
    for_ms: Milliseconds
    notice_ms: Milliseconds


class BreakLink(PlannedFault, frozen=True):
    """One link breaks and comes back: at once, or after `for_ms`.  One end learns it later than the other (P8)."""

    source: PeerId
    target: PeerId
    for_ms: Milliseconds
    notice_ms: Milliseconds


class Isolate(PlannedFault, frozen=True):
    """All links of a server break between two of its effects: so many more are carried out."""

    server: PeerId
    effects: int
    for_ms: Milliseconds
    notice_ms: Milliseconds


class EndSession(PlannedFault, frozen=True):
    """A learner session ends, its link stays."""

    source: PeerId
    target: PeerId


class SlowLink(PlannedFault, frozen=True):
    """Frames of one way are under way for about that long."""

    source: PeerId
    target: PeerId
    ms: Milliseconds
    for_ms: Milliseconds


class SlowDisk(PlannedFault, frozen=True):
    """Flushes of one disk take about that long."""

    server: PeerId
    ms: Milliseconds
    for_ms: Milliseconds


class FullDisk(PlannedFault, frozen=True):
    """No space is left: the process ends at the first write that needs some (ZOOKEEPER-2247)."""

    server: PeerId
    for_ms: Milliseconds


class FailDisk(PlannedFault, frozen=True):
    """A later operation of the disk fails, once: the process ends."""

    server: PeerId
    operations: int
    down_ms: Milliseconds


class Wipe(PlannedFault, frozen=True):
    """The process dies and its disk is replaced by an empty one (Z-12)."""

    server: PeerId
    down_ms: Milliseconds


class Damage(PlannedFault, frozen=True):
    """The process dies and flushed bytes of its disk change: it must refuse to start; then the disk is replaced."""

    server: PeerId
    zeroed: bool  # a whole page; else one bit
    down_ms: Milliseconds


class ClientDies(PlannedFault, frozen=True):
    """A client is gone with what it had pending; another one, with a new session, takes its place."""

    client: int


class ClientMoves(PlannedFault, frozen=True):
    """A client attaches its session elsewhere, without closing it."""

    client: int


class CutWay(PlannedFault, frozen=True):
    """Nothing that `source` sends to `target` arrives, and nobody is told; the other way stays as it is (P8)."""

    source: PeerId
    target: PeerId
    for_ms: Milliseconds


class Downpour(PlannedFault, frozen=True):
    """This share of what goes one way is lost."""

    source: PeerId
    target: PeerId
    loss: Share
    for_ms: Milliseconds


class Replay(PlannedFault, frozen=True):
    """Up to so many of the last datagrams that went this way arrive once more; `turned`: at their sender."""

    source: PeerId
    target: PeerId
    turned: bool
    datagrams: int


class Echo(PlannedFault, frozen=True):
    """Half of what goes one way arrives once more, up to `late_ms` later: perhaps in another session."""

    source: PeerId
    target: PeerId
    late_ms: Milliseconds
    for_ms: Milliseconds


class EndLink(PlannedFault, frozen=True):
    """`source` ends session after session with `target`, as after a broken rule; the next one opens by itself."""

    source: PeerId
    target: PeerId
    times: int
    every_ms: Milliseconds


AnyPlanned = (
    Kill
    | PowerCut
    | KillBetweenEffects
    | KillInDiskOperation
    | Storm
    | Pause
    | ClockRate
    | ClockJump
    | Split
    | BreakLink
    | Isolate
    | EndSession
    | SlowLink
    | SlowDisk
    | FullDisk
    | FailDisk
    | Wipe
    | Damage
    | ClientDies
    | ClientMoves
)

AnyWindowFault = CutWay | Downpour | Replay | Echo | EndLink  # only where links carry datagrams


class Planned(msgspec.Struct, frozen=True):
    """Fault `number` of a seed strikes at `at_ms`."""

    number: int
    at_ms: Milliseconds
    fault: AnyPlanned | AnyWindowFault

    def __str__(self) -> str:
        return f"{self.number:3} at {self.at_ms:7.1f} ms: {self.fault}"


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What the network does to datagrams while chaos lasts, and how windows are set (lab.transport.window)."""

    loss: Share = 0.0
    duplicate: Share = 0.0
    reorder: Share = 0.0  # overtake what was sent before them, where there is a way to be under
    damage: Share = 0.0  # are cut short or, where a tag can tell, have a bit changed
    sealed: bool = False  # with tags
    mtu_bytes: int = 1_400
    receive_bytes_max: int = 4 << 20
    queue_bytes_max: int = 64 << 20
    padding: int = 0  # bytes that frames are longer than they have to be, while chaos lasts
    is_probed: bool = False  # in calm one way of a link is cut, which both ends have to notice


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that is drawn for one seed, besides the ensemble itself (`World.from_seed`)."""

    seed: int
    ticks: int  # of chaos; then calm
    clients: int
    operations: int  # that each client sends, at most
    gap_ms: Milliseconds  # between two frames of a client, on average
    burst: int  # operations in a frame, at most
    grain_ms: Milliseconds  # between two looks at what is due, on average: what falls between is one turn
    pace: tuple[Milliseconds, Milliseconds]  # (least, span) of a frame's time under way
    flush: tuple[Milliseconds, Milliseconds]  # (least, span) of a flush
    quorum_first: bool  # in calm only a quorum is connected at first, and has to get a leader
    may_lose_disk: tuple[PeerId, ...]  # fewer than a quorum of the voters (Z-12)
    faults: tuple[Planned, ...]


class Reduction(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a seed's plan; None: all of it."""

    faults: tuple[int, ...] | None = None  # their numbers
    ticks: int | None = None
    clients: int | None = None
    operations: int | None = None

    def of(self, plan: Plan) -> Plan:
        kept = plan.faults if self.faults is None else tuple(f for f in plan.faults if f.number in self.faults)
        return msgspec.structs.replace(
            plan,
            faults=kept,
            ticks=plan.ticks if self.ticks is None else self.ticks,
            clients=plan.clients if self.clients is None else self.clients,
            operations=plan.operations if self.operations is None else self.operations,
        )

    def options(self) -> str:
        """As options of the command."""
        faults = None if self.faults is None else ",".join(map(str, self.faults)) or "none"
        given = (("faults", faults), ("ticks", self.ticks), ("clients", self.clients), ("operations", self.operations))
        return "".join(f" --{name} {value}" for name, value in given if value is not None)


WHOLE = Reduction()
