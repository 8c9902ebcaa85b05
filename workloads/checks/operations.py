"""All operations of a trial as numpy columns, and the words findings use for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.client.history import COLUMNS, History, Kind, Outcome
from workloads.values import CXID_BITS

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Operations:
    """Rows of all histories, client after client; a client's rows stand in the order of sending."""

    client: Ints
    session: Ints  # index into session_ids
    session_ids: list[int]
    cxid: Ints
    key: Ints
    sent_ns: Ints
    done_ns: Ints
    outcome: Ints
    zxid: Ints
    mzxid: Ints
    writer: Ints
    writer_cxid: Ints
    version: Ints
    intact: Ints
    is_write: Mask
    writes: Ints  # rows of acknowledged writes
    reads: Ints  # rows of acknowledged reads that were checked
    reads_total: int

    @classmethod
    def of(cls, histories: Sequence[History]) -> "Operations":
        ordered = sorted(histories, key=lambda history: history.client)
        columns: dict[str, Any] = {name: _column(ordered, name) for name, _ in COLUMNS}
        starts = np.cumsum([0, *(len(history.sessions) for history in ordered)])
        lengths = [len(history) for history in ordered]
        columns["session"] = columns["session"] + np.repeat(starts[:-1], lengths)
        is_write = columns.pop("kind") == Kind.WRITE
        acknowledged = columns["outcome"] == Outcome.ACKNOWLEDGED
        reads = acknowledged & ~is_write
        return cls(
            client=np.repeat(np.array([history.client for history in ordered], np.int64), lengths),
            session_ids=[session for history in ordered for session in history.sessions],
            is_write=is_write,
            writes=np.flatnonzero(acknowledged & is_write),
            reads=np.flatnonzero(reads & (columns["intact"] != -1)),
            reads_total=int(np.count_nonzero(reads)),
            **columns,
        )

    def name(self, row: int) -> str:
        """How a finding calls the operation of a row."""
        what = "write" if self.is_write[row] else "read"
        session = self.session_ids[self.session[row]]
        return f"{what} {self.cxid[row]} of client {self.client[row]} (session {session:#x}, key {self.key[row]})"

    def codes(self, rows: Ints) -> Ints:
        """(client, cxid) of the rows as one number."""
        return (self.client[rows] << CXID_BITS) + self.cxid[rows]


def _column(histories: Sequence[History], name: str) -> Ints:
    arrays = [np.frombuffer(history.columns[name], np.int64) for history in histories if len(history)]
    if not arrays:
        return np.empty(0, np.int64)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def show(zxid: int) -> str:
    """`2.7` for epoch 2, counter 7."""
    return f"{int(zxid) >> 32}.{int(zxid) & 0xFFFFFFFF}"


def times(count: int) -> str:
    return "" if count == 1 else f" (and {count - 1} more like it)"


def lookup(sorted_values: Ints, wanted: Ints) -> tuple[Ints, Mask]:
    """(index in `sorted_values`, whether it is there) of each wanted one; an absent one gets some valid index."""
    if not len(sorted_values):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    index = np.minimum(np.searchsorted(sorted_values, wanted), len(sorted_values) - 1)
    return index, sorted_values[index] == wanted
