"""What an invariant is: a small object that sees what servers show, and objects by raising InvariantError."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from lab.sim.errors import InvariantError
from lab.zab.config import PeerId
from lab.zab.zxid import Zxid

if TYPE_CHECKING:
    from lab.service.transactions import Txn
    from lab.sim.invariants.facts import Facts
    from lab.sim.invariants.fold import Fold
    from lab.sim.invariants.rest import Rest

Handler = Callable[[PeerId, Any], None]
_Method = TypeVar("_Method", bound=Callable[..., None])

_MARK = "_sees"


@dataclass(frozen=True)
class Parted:
    """Only servers of one side reach each other from now on; without sides everybody reaches everybody."""

    sides: tuple[tuple[PeerId, ...], ...]


def sees(*kinds: Any) -> Callable[[_Method], _Method]:
    """The method `(server, thing)` is called for events and effects of these types, and for these MachineEvents."""
    return _mark("plain", kinds)


def sees_sent(*messages: type) -> Callable[[_Method], _Method]:
    """The method `(server, Send)` is called when a server sends a message of these types."""
    return _mark("sent", messages)


def sees_received(*messages: type) -> Callable[[_Method], _Method]:
    """The method `(server, Received)` is called when a server gets a message of these types."""
    return _mark("received", messages)


def sees_commit(method: _Method) -> _Method:
    """The method `(leader, zxid)` is called when the leader of an established epoch commits up to `zxid`."""
    return _mark("commit", (None,))(method)


def sees_applied(method: _Method) -> _Method:
    """The method `(server, Server)` is called after a step in which that server delivered something."""
    return _mark("applied", (None,))(method)


def _mark(channel: str, kinds: tuple[Any, ...]) -> Callable[[_Method], _Method]:
    def mark(method: _Method) -> _Method:
        setattr(method, _MARK, [*getattr(method, _MARK, []), *((channel, kind) for kind in kinds)])
        return method

    return mark


def handlers_of(watcher: object) -> list[tuple[str, Any, Handler]]:
    """(channel, kind, bound method) of every marked method."""
    return [(channel, kind, getattr(watcher, name)) for name, channel, kind in _marked(type(watcher))]  # type: ignore[arg-type]


@cache
def _marked(of: Any) -> tuple[tuple[str, str, Any], ...]:
    """(name, channel, kind) of every marked method of this class."""
    return tuple((name, *mark) for name in dir(of) for mark in getattr(getattr(of, name), _MARK, ()))


class Invariant:
    """One row of zab.md 9.2.

    Effects are seen right before they are carried out, in list order; what an earlier effect of the list made durable
    is durable.  `facts` is what was true before the thing that is seen.
    """

    name: ClassVar[str]

    def __init__(self, facts: "Facts") -> None:
        self.facts = facts

    def begin_rest(self, rest: "Rest") -> None:
        """The faults are over and everybody is level; `before_txn` and `at_rest` follow."""

    def before_txn(self, fold: "Fold", zxid: Zxid, txn: "Txn") -> None:
        """For each committed transaction in order, part by part: `fold` is the state that it meets."""

    def at_rest(self, rest: "Rest", fold: "Fold") -> None:
        """`fold` is what all committed transactions make."""

    def error(self, what: str) -> InvariantError:
        return InvariantError(self.name, what)
