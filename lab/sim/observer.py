"""Who looks on while a world is at work: invariants, traces, counters.

An observer overrides what it wants to see; what it leaves alone costs nothing.  To object it raises InvariantError.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from lab.service.events import ServerEvent
from lab.service.server import Server
from lab.sim.plan import Planned
from lab.zab.config import PeerId
from lab.zab.effects import PeerEffect


class MachineEvent(Enum):
    """What happened to a machine, as opposed to the server on it."""

    STARTED = "started"  # a process runs with what the disk holds; shown before its first event
    REFUSED = "refused"  # the disk is damaged, so that no process came up
    CRASHED = "crashed"  # the process ended; what it had written is still there
    LOST_POWER = "lost power"  # the process ended, and of what was not durable only some is there
    WIPED = "wiped"  # the disk of a dead server is an empty one now


class Observer:
    """Base of all observers.

    Each event of a server is shown before its step, each effect of its peer in list order, right before it is carried
    out: whatever stands before it in the list has happened, and is durable if it had to be.  A process that dies
    between two effects shows nothing more.  Upcalls are shown in their place, too, though the server carried them out
    while it made the list: its state, and its tree, are those after the whole step.
    """

    events: tuple[type[ServerEvent], ...] | None = None  # the kinds that `on_event` is called for; None: all
    effects: tuple[type[PeerEffect], ...] | None = None  # the kinds that `on_effect` is called for; None: all

    def on_event(self, server: PeerId, event: ServerEvent) -> None: ...

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None: ...

    def of_event(self, kind: type) -> tuple["OnEvent", ...]:
        """What to call for events of this kind."""
        wanted = self.events is None or kind in self.events
        return (self.on_event,) if wanted and _overrides(self, "on_event") else ()

    def of_effect(self, kind: type) -> tuple["OnEffect", ...]:
        """What to call for effects of this kind."""
        wanted = self.effects is None or kind in self.effects
        return (self.on_effect,) if wanted and _overrides(self, "on_effect") else ()

    def on_stepped(self, server: PeerId, running: Server) -> None:
        """An event and everything it brought about is done."""

    def on_machine(self, server: PeerId, what: MachineEvent) -> None: ...

    def on_fault(self, at_ms: float, planned: Planned) -> None:
        """A fault of the plan is about to strike; it may find nothing to strike at."""


class EffectObserver(Observer):
    """Hands every effect to a function."""

    def __init__(self, watch: Callable[[PeerId, PeerEffect], object]) -> None:
        self._watch = watch

    def on_effect(self, server: PeerId, effect: PeerEffect) -> None:
        self._watch(server, effect)


OnEvent = Callable[[PeerId, Any], None]
OnEffect = Callable[[PeerId, Any], None]
_Watching = TypeVar("_Watching")


class _ByKind(dict[type, tuple[_Watching, ...]]):
    """Who wants to see things of a kind; found out when one is first seen, since a look at it is all that most cost."""

    def __init__(self, find: Callable[[type], tuple[_Watching, ...]]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, kind: type) -> tuple[_Watching, ...]:
        found = self[kind] = self._find(kind)
        return found


class Observers:
    """All observers of a world, asked in the order in which they were added."""

    def __init__(self) -> None:
        self._all: list[Observer] = []
        self.of_event: _ByKind[OnEvent] = _ByKind(self._find_of_event)
        self.of_effect: _ByKind[OnEffect] = _ByKind(self._find_of_effect)
        self.of_steps: tuple[Callable[[PeerId, Server], None], ...] = ()

    def add(self, observer: Observer) -> None:
        self._all.append(observer)
        self.of_event.clear()
        self.of_effect.clear()
        self.of_steps = tuple(each.on_stepped for each in self._all if _overrides(each, "on_stepped"))

    def _find_of_event(self, kind: type) -> tuple[OnEvent, ...]:
        return tuple(handler for each in self._all for handler in each.of_event(kind))

    def _find_of_effect(self, kind: type) -> tuple[OnEffect, ...]:
        return tuple(handler for each in self._all for handler in each.of_effect(kind))

    def machine(self, server: PeerId, what: MachineEvent) -> None:
        for each in self._all:
            each.on_machine(server, what)

    def fault(self, at_ms: float, planned: Planned) -> None:
        for each in self._all:
            each.on_fault(at_ms, planned)


def _overrides(observer: Observer, method: str) -> bool:
    return getattr(type(observer), method) is not getattr(Observer, method)
