"""The hop markers of one server as columns, and which of them covers a given zxid, cxid or frame."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab.targets.hops import ROW_NAMES, HopMarks

Numbers = NDArray[np.int64]
MISSING = -1  # a time that nobody marked


class Markers(NamedTuple):
    """Markers of one kind, in the order in which they were made; `lab.node.marking.Hop` says what the columns mean."""

    key: Numbers
    about: Numbers
    number: Numbers
    at_ns: Numbers

    def of(self, about: int) -> "Markers":
        chosen = self.about == about
        return Markers(*(column[chosen] for column in self))

    def covering(self, keys: Numbers) -> Numbers:
        """Where the first marker up to each key or beyond it stands; -1: there is none.  Keys grow, as markers come."""
        found = np.searchsorted(self.key, keys)
        return np.where(found < len(self.key), found, MISSING)

    def exactly(self, keys: Numbers) -> Numbers:
        """Where the marker of each key stands; -1: there is none.  In whatever order the keys came."""
        if not len(self.key):
            return np.full(len(keys), MISSING)
        order = np.argsort(self.key, kind="stable")
        found = order[np.minimum(np.searchsorted(self.key[order], keys), len(order) - 1)]
        return np.where(self.key[found] == keys, found, MISSING)


def pick(column: Numbers, places: Numbers) -> Numbers:
    """The column's values at these places; MISSING where the place is -1."""
    if not len(column):
        return np.full(len(places), MISSING)
    return np.where(places >= 0, column[places], MISSING)


class ServerMarkers:
    """All markers of one server, by kind."""

    def __init__(self, marks: HopMarks) -> None:
        self.server = marks.server
        self._table = np.frombuffer(marks.rows, dtype="<i8").reshape(-1, len(ROW_NAMES))
        self._hops = marks.hops

    def __getitem__(self, hop: str) -> Markers:
        rows = self._table[self._table[:, 0] == self._hops.index(hop)]
        return Markers(*(rows[:, place] for place in range(1, len(ROW_NAMES))))
