"""Linearizability by search (Wing and Gong 1993), for small histories: written without a look at the fast checker.

A register holds (version, writer).  A write finds any version and makes the next one; a read returns what is there.  An
operation takes effect at one moment between its sending and its answer; one of unknown outcome at any moment after its
sending, or never.
"""

from dataclasses import dataclass

NEVER = float("inf")


@dataclass(frozen=True)
class Op:
    """`version` is what it was told, None if it was told nothing; `writer` whose value a write left or a read found."""

    kind: str  # "write" or "read"
    sent: float
    done: float  # NEVER: outcome unknown
    version: int | None
    writer: int


def is_linearizable(ops: list[Op]) -> bool:
    """One register, which begins with nothing, version -1."""
    tried: set[tuple[frozenset[int], int, int]] = set()

    def search(left: frozenset[int], version: int, writer: int) -> bool:
        if all(ops[i].done == NEVER for i in left):
            return True  # what is left never happened
        if (left, version, writer) in tried:
            return False
        tried.add((left, version, writer))
        earliest = min(ops[i].done for i in left)
        for i in left:
            op = ops[i]
            if op.sent > earliest:
                continue  # something that is left was answered before this was sent
            if op.kind == "read":
                if (op.version, op.writer) == (version, writer) and search(left - {i}, version, writer):
                    return True
            elif op.version in (None, version + 1) and search(left - {i}, version + 1, op.writer):
                return True
        return False

    return search(frozenset(range(len(ops))), -1, 0)
