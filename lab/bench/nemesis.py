"""What befalls an ensemble under torture: a plan that the seed alone decides, carried out against what is there.

`timeline` draws what happens when and for how long.  Whom it befalls is decided when it is due, since nobody knows
before who leads: `stroke_of` turns a strike and a view of the ensemble into faults, and `Nemesis` says from one moment
to the next what to begin and what to end.  No clock, no process: the harness asks and carries out.

The rules: never more than a minority of the voters is without its process because of crashes and full disks, except in
a blackout, which kills every server at once and lets all come back (legal where writes survive the process: fsync and
buffered).  One partition at a time, in one direction or both.  A server suffers one thing at a time, as does a link.
Everything ends.
"""

from collections.abc import Collection, Sequence
from itertools import combinations
from random import Random

import msgspec

from lab.faults import (
    Constant,
    Crash,
    Cut,
    FillDisk,
    FreeDisk,
    Freeze,
    Heal,
    Normal,
    Partition,
    Reshape,
    Restart,
    Shape,
    TargetFault,
    Thaw,
)

LEADER_CRASH = "leader crash"
CLIENT_KILL = "client kill"
FULL_DISK = "full disk"
BLACKOUT = "blackout"
ISOLATED = "leader isolated"
MINORITY, SPLIT, ALONE, CUT_OBSERVERS = "minority cut off", "split in two", "servers alone", "observers cut off"
CRASH, RESTART, SHORT_FREEZE, FREEZE, LEADER_FREEZE = "crash", "restart", "short freeze", "freeze", "leader freeze"
DEAF, MUTE, LOSSY, SLOW = "hears nobody", "heard by nobody", "lossy link", "slow link"
PARTITIONS = (ISOLATED, MINORITY, SPLIT, ALONE, CUT_OBSERVERS)
ONE_WAY = (DEAF, MUTE)
DATAGRAM_KINDS = (*ONE_WAY, LOSSY, SLOW)  # only where links carry datagrams
KINDS = (
    LEADER_CRASH, CRASH, RESTART, BLACKOUT, FULL_DISK, LEADER_FREEZE, FREEZE, SHORT_FREEZE, *PARTITIONS, CLIENT_KILL,
    *DATAGRAM_KINDS,
)  # fmt: skip

CYCLE_S = 8.0  # of chaos; each has one crash of the leader
HEAVY = (  # two a cycle, at most one of them at a time; the shares are those of a deck of cards
    CRASH, RESTART, RESTART, BLACKOUT, FULL_DISK, FULL_DISK, LEADER_FREEZE, LEADER_FREEZE, FREEZE, *PARTITIONS,
    *ONE_WAY,
)  # fmt: skip
LIGHT = (  # two a cycle, beside the heavy ones
    CLIENT_KILL, CLIENT_KILL, SHORT_FREEZE, SHORT_FREEZE, FREEZE, CRASH, LOSSY, SLOW,
)  # fmt: skip
SHAPES = {  # of a link, both ways
    LOSSY: Shape(delay=Constant(2), loss=0.25, duplicate=0.05, reorder=0.1),
    SLOW: Shape(delay=Normal(40, 15), hold_ms=5, bytes_per_s=4e6),
}
PATIENCE_S = 3.0  # how long a strike waits for somebody whom it may befall
GRACE_S = 60.0  # after the time is up: for a first crash of a leader, in a run that had none


class KillClient(msgspec.Struct, frozen=True):
    """SIGKILL of a load process; another one takes its place."""

    place: int


Blow = TargetFault | KillClient
Pair = tuple[int, int]  # of servers, the smaller id first


class Strike(msgspec.Struct, frozen=True):
    """Something that is to happen."""

    at_s: float  # since the beginning of the chaos
    kind: str
    hold_s: float  # how long it lasts
    luck: float  # 0 to 1: decides who it is


class View(msgspec.Struct, frozen=True):
    """The ensemble as the harness knows it."""

    voters: tuple[int, ...]
    observers: tuple[int, ...]
    leader: int | None  # that serves; None: nobody, as far as known
    down: frozenset[int] = frozenset()  # processes that are not there, or have no disk to write to
    frozen: frozenset[int] = frozenset()
    is_parted: bool = False
    shaped: frozenset[Pair] = frozenset()  # links that a strike has made lossy or slow
    clients: int = 1

    @property
    def servers(self) -> tuple[int, ...]:
        return (*self.voters, *self.observers)

    def whole(self) -> list[int]:
        """Servers that nothing befalls, partitions aside."""
        return [server for server in self.servers if server not in self.down | self.frozen]

    def may_lose(self, server: int) -> bool:
        """Whether a majority of voters has its process and its disk without this server, too."""
        lost = self.down | {server}
        return len(lost & set(self.voters)) <= (len(self.voters) - 1) // 2


class Stroke(msgspec.Struct, frozen=True):
    """A strike that has found its victims: what to do, and what undoes it."""

    kind: str
    victims: tuple[int, ...]  # servers; for a client its place
    blows: tuple[Blow, ...]
    repairs: tuple[Blow, ...]
    until_s: float


def timeline(rng: Random, seconds: float, sync_limit_s: float, without: Collection[str] = ()) -> list[Strike]:
    """Everything that is to happen within `seconds`, in order; `without`: kinds that cannot be.

    Cycles of about CYCLE_S, each with two strikes of the heavy deck, one after the other, two of the light deck at any
    time, and a crash of the leader towards its end.
    """
    cycles = max(1, round(seconds / CYCLE_S))
    length = seconds / cycles
    heavy, light = (_Deck(rng, [kind for kind in deck if kind not in without]) for deck in (HEAVY, LIGHT))
    strikes = []
    for cycle in range(cycles):
        pace = length / CYCLE_S
        for begin, end in ((0.2, 0.8), (2.8, 3.4)):
            kind = heavy.card()
            hold_s = min(_hold_s(rng, kind, sync_limit_s), 2.0)
            strikes.append((cycle * CYCLE_S + rng.uniform(begin, end), kind, hold_s, pace))
        for _ in range(2):
            kind = light.card()
            hold_s = min(_hold_s(rng, kind, sync_limit_s), 1.5)
            strikes.append((cycle * CYCLE_S + rng.uniform(0.2, 5.0), kind, hold_s, pace))
        strikes.append((cycle * CYCLE_S + rng.uniform(5.4, 6.4), LEADER_CRASH, rng.uniform(0.1, 1.5), pace))
    return sorted(
        (Strike(at * pace, kind, hold_s * min(1.0, pace), rng.random()) for at, kind, hold_s, pace in strikes),
        key=lambda strike: strike.at_s,
    )


class _Deck:
    """Cards in random order, all of them before any comes again."""

    def __init__(self, rng: Random, cards: Sequence[str]) -> None:
        self._rng, self._cards = rng, list(cards)
        self._left: list[str] = []

    def card(self) -> str:
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


def _hold_s(rng: Random, kind: str, sync_limit_s: float) -> float:
    """Around the limit at which silence is noticed lies what is interesting about a freeze."""
    match kind:
        case "short freeze":
            return rng.uniform(0.2, 0.8) * sync_limit_s
        case "freeze" | "leader freeze":
            return rng.uniform(1.2, 4.0) * sync_limit_s
        case "restart" | "client kill":
            return 0.0
        case "blackout":
            return rng.uniform(0.0, 0.5)
    return rng.uniform(0.4, 2.0)


def stroke_of(strike: Strike, view: View, now_s: float) -> Stroke | None:
    """Whom the strike befalls now; None if the rules leave nobody."""
    rng, until_s = Random(f"{strike.luck} {strike.kind}"), now_s + strike.hold_s
    if strike.kind == CLIENT_KILL:
        place = rng.randrange(view.clients)
        return Stroke(strike.kind, (place,), (KillClient(place),), (), until_s)
    if strike.kind == BLACKOUT:
        if view.whole() != list(view.servers) or view.is_parted:
            return None
        order = rng.sample(view.servers, len(view.servers))
        back = rng.sample(view.servers, len(view.servers))
        return Stroke(strike.kind, tuple(view.servers), tuple(map(Crash, order)), tuple(map(Restart, back)), until_s)
    if strike.kind in PARTITIONS:
        groups = None if view.is_parted else _groups(strike.kind, view, rng)
        if groups is None:
            return None
        cut_off = min(groups, key=len) if len(groups) == 2 else view.servers
        return Stroke(strike.kind, tuple(sorted(cut_off)), (Partition(groups),), (Heal(),), until_s)
    if strike.kind in ONE_WAY:
        return None if view.is_parted else _one_way(strike.kind, view, rng, until_s)
    if strike.kind in SHAPES:
        return _shaped(strike.kind, view, rng, until_s)
    victim = _victim(strike.kind, view, rng)
    if victim is None:
        return None
    blow, *repairs = _befall(strike.kind, victim)
    return Stroke(strike.kind, (victim,), (blow,), tuple(repairs), until_s)


def _one_way(kind: str, view: View, rng: Random, until_s: float) -> Stroke:
    """Every other time it is the leader that hears nobody, or that nobody hears."""
    anybody, is_leader = rng.choice(view.servers), rng.random() < 0.5
    victim = view.leader if is_leader and view.leader is not None else anybody
    others = [server for server in view.servers if server != victim]
    cuts = tuple(Cut(other, victim) if kind == DEAF else Cut(victim, other) for other in others)
    return Stroke(kind, (victim,), cuts, (Heal(),), until_s)


def _shaped(kind: str, view: View, rng: Random, until_s: float) -> Stroke | None:
    free = [pair for pair in combinations(view.servers, 2) if pair not in view.shaped]
    if not free:
        return None
    one, other = rng.choice(free)
    ways = ((one, other), (other, one))
    blows = tuple(Reshape(source, target, SHAPES[kind]) for source, target in ways)
    repairs = tuple(Reshape(source, target, None) for source, target in ways)
    return Stroke(kind, (one, other), blows, repairs, until_s)


def _victim(kind: str, view: View, rng: Random) -> int | None:
    whole = view.whole()
    if kind in (LEADER_CRASH, LEADER_FREEZE):
        whole = [server for server in whole if server == view.leader]
    elif kind in (CRASH, FREEZE):
        whole = [server for server in whole if server != view.leader]
    if kind in (LEADER_CRASH, CRASH, RESTART, FULL_DISK):
        whole = [server for server in whole if view.may_lose(server)]
    return rng.choice(whole) if whole else None


def _befall(kind: str, victim: int) -> tuple[Blow, ...]:
    """What happens to the victim, and what repairs it."""
    if kind == FULL_DISK:
        return FillDisk(victim), FreeDisk(victim), Restart(victim)
    if kind in (SHORT_FREEZE, FREEZE, LEADER_FREEZE):
        return Freeze(victim), Thaw(victim)
    return Crash(victim), Restart(victim)


def _groups(kind: str, view: View, rng: Random) -> tuple[tuple[int, ...], ...] | None:
    servers, minority = view.servers, (len(view.voters) - 1) // 2
    one: tuple[int, ...]
    if kind == ALONE:
        return tuple((server,) for server in servers)
    if kind == ISOLATED:
        one = () if view.leader is None else (view.leader,)
    elif kind == CUT_OBSERVERS:
        one = view.observers
    elif kind == MINORITY:
        one = (*rng.sample(view.voters, minority), *(o for o in view.observers if rng.random() < 0.5))
    else:
        one = tuple(server for server in servers if rng.random() < 0.5)
    other = tuple(server for server in servers if server not in one)
    return (one, other) if one and other else None


class Nemesis:
    """Says what to begin and what to end, one thing at a time, so that each is decided on a fresh view."""

    def __init__(self, strikes: Sequence[Strike], seconds: float) -> None:
        self._waiting = sorted(strikes, key=lambda strike: strike.at_s)
        self._seconds = seconds
        self._open: list[Stroke] = []
        self._leader_crashes = 0
        self.skipped = 0  # strikes that found nobody in time

    def ended(self, now_s: float) -> Stroke | None:
        """A stroke whose time is over; it is to be repaired now."""
        over = min(self._open, key=lambda stroke: stroke.until_s, default=None)
        if over is None or over.until_s > now_s:
            return None
        self._open.remove(over)
        return over

    def begun(self, now_s: float, view: View) -> Stroke | None:
        """A stroke that is due; it is to be carried out now."""
        due = [strike for strike in self._waiting if strike.at_s <= now_s]
        for strike in due if now_s < self._seconds else filter(self._is_owed, due):
            stroke = stroke_of(strike, view, now_s)
            if stroke is not None:
                self._waiting.remove(strike)
                self._open.append(stroke)
                self._leader_crashes += strike.kind == LEADER_CRASH
                return stroke
            if strike.kind != LEADER_CRASH and now_s > strike.at_s + PATIENCE_S:
                self._waiting.remove(strike)
                self.skipped += 1
        return None

    def is_over(self, now_s: float) -> bool:
        """The time is up, and a leader was crashed (or none could be for too long)."""
        return now_s >= self._seconds and (self._leader_crashes > 0 or now_s >= self._seconds + GRACE_S)

    def rest(self) -> list[Stroke]:
        """What is still to be repaired at the end."""
        left, self._open = sorted(self._open, key=lambda stroke: stroke.until_s), []
        self.skipped += len(self._waiting)
        self._waiting = []
        return left

    def _is_owed(self, strike: Strike) -> bool:
        return strike.kind == LEADER_CRASH and not self._leader_crashes
