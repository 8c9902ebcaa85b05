"""All invariants at work on one world."""

import pkgutil
from collections.abc import Collection, Iterable
from functools import cache
from importlib import import_module

import lab.sim.invariants
from lab.service.server import Server
from lab.service.transactions import MultiTxn
from lab.sim.invariants.base import Handler, Invariant, Parted, handlers_of
from lab.sim.invariants.facts import Facts
from lab.sim.invariants.fold import Fold
from lab.sim.invariants.rest import Rest
from lab.sim.observer import MachineEvent, Observer, OnEffect, OnEvent
from lab.zab.config import PeerId, ZabConfig
from lab.zab.effects import Deliver, Send
from lab.zab.events import Received

_Table = dict[object, tuple[Handler, ...]]


@cache
def every_invariant() -> tuple[type[Invariant], ...]:
    """The invariants in `lab.sim.invariants`, each in a module of its own, in the order of their numbers."""
    found = []
    for info in sorted(pkgutil.iter_modules(lab.sim.invariants.__path__), key=lambda info: info.name):
        if info.name.startswith("inv"):
            module = import_module(f"{lab.sim.invariants.__name__}.{info.name}")
            found += [
                kind
                for kind in vars(module).values()
                if isinstance(kind, type) and issubclass(kind, Invariant) and kind is not Invariant
            ]
    return tuple(found)


class Suite(Observer):
    """Shows everything to every invariant, and only then to the facts."""

    def __init__(self, config: ZabConfig, only: Collection[str] | None = None) -> None:
        """`only`: the names of the invariants that are checked; None: all."""
        self.facts = Facts(config)
        self.invariants = [kind(self.facts) for kind in every_invariant() if only is None or kind.name in only]
        self._plain: _Table = {}
        self._sent: _Table = {}
        self._received: _Table = {}
        tables: dict[str, _Table] = {"plain": self._plain, "sent": self._sent, "received": self._received}
        self._applied: list[Handler] = []
        self._has_applied = False  # in the step that is going on
        lists = {"commit": self.facts.commit_handlers, "applied": self._applied}
        for watcher in (*self.invariants, self.facts):
            for channel, kind, handler in handlers_of(watcher):
                if channel in lists:
                    lists[channel].append(handler)
                else:
                    tables[channel][kind] = (*tables[channel].get(kind, ()), handler)
        if self._applied:
            self._plain[Deliver] = (*self._plain.get(Deliver, ()), self._note_applied)

    # -- Observer

    def of_event(self, kind: type) -> tuple[OnEvent, ...]:
        return (self._on_received,) if kind is Received else self._plain.get(kind, ())

    def of_effect(self, kind: type) -> tuple[OnEffect, ...]:
        return (self._on_send,) if kind is Send else self._plain.get(kind, ())

    def _on_received(self, server: PeerId, event: Received) -> None:
        for handler in self._received.get(type(event.message), ()):
            handler(server, event)

    def _on_send(self, server: PeerId, effect: Send) -> None:
        for handler in self._sent.get(type(effect.message), ()):
            handler(server, effect)

    def on_stepped(self, server: PeerId, running: Server) -> None:
        if self.facts.busy:
            self.facts.settle()
        if self._has_applied:
            self._has_applied = False
            for handler in self._applied:
                handler(server, running)

    def _note_applied(self, server: PeerId, effect: Deliver) -> None:
        self._has_applied = True

    def on_machine(self, server: PeerId, what: MachineEvent) -> None:
        for handler in self._plain.get(what, ()):
            handler(server, what)

    def on_partition(self, sides: Iterable[Iterable[PeerId]]) -> None:
        parted = Parted(tuple(map(tuple, sides)))
        for handler in self._plain.get(Parted, ()):
            handler(0, parted)

    # -- when nothing happens

    def at_rest(self, rest: Rest) -> None:
        """The faults are over and everybody is level: what only then can be demanded."""
        self.facts.history = dict(self.facts.paths.transactions(self.facts.top))
        for invariant in self.invariants:
            invariant.begin_rest(rest)
        fold = Fold()
        walkers = [each.before_txn for each in self.invariants if type(each).before_txn is not Invariant.before_txn]
        for zxid, txn in self.facts.history.items():
            for part in txn.txns if isinstance(txn, MultiTxn) else (txn,):
                for before_txn in walkers:
                    before_txn(fold, zxid, part)
                fold.apply(zxid, part)
        for invariant in self.invariants:
            invariant.at_rest(rest, fold)
