"""What histories and counters say about one window: counts, latencies, use of the servers."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lab.bench.record import ServerUse
from lab.client.history import History, Kind, Outcome, ReplicaState
from lab.targets.target import Usage

Nanoseconds = NDArray[np.int64]


def column(history: History, name: str) -> Nanoseconds:
    """A view of one column; the history must not grow while it is in use."""
    return np.frombuffer(history.columns[name], dtype=np.int64)


def completed(histories: Sequence[History], start_ns: int, end_ns: int) -> dict[Kind, tuple[Nanoseconds, Nanoseconds]]:
    """Per kind (latencies, times of completion) of the operations acknowledged within the window."""
    found: dict[Kind, tuple[Nanoseconds, Nanoseconds]] = {}
    for kind in Kind:
        latencies, ends = [], []
        for history in histories:
            done = column(history, "done_ns")
            chosen = (
                (done >= start_ns) & (done < end_ns)
                & (column(history, "kind") == kind) & (column(history, "outcome") == Outcome.ACKNOWLEDGED)
            )  # fmt: skip
            ends.append(done[chosen])
            latencies.append(ends[-1] - column(history, "sent_ns")[chosen])
        found[kind] = (joined(latencies), joined(ends))
    return found


def joined(parts: Sequence[Nanoseconds]) -> Nanoseconds:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def acknowledged(histories: Iterable[History], kind: Kind) -> int:
    """How many operations of that kind were acknowledged, whenever."""
    return sum(
        int(np.count_nonzero((column(h, "kind") == kind) & (column(h, "outcome") == Outcome.ACKNOWLEDGED)))
        for h in histories
    )


def outcomes(histories: Iterable[History], outcome: Outcome, start_ns: int, end_ns: int) -> int:
    """How many operations sent within the window ended so."""
    total = 0
    for history in histories:
        sent = column(history, "sent_ns")
        total += int(np.count_nonzero((column(history, "outcome") == outcome) & (sent >= start_ns) & (sent < end_ns)))
    return total


def unknown_writes(histories: Iterable[History]) -> list[tuple[int, int]]:
    """(session id, cxid) of every write whose fate no client knows."""
    found = []
    for history in histories:
        fate = (column(history, "outcome") == Outcome.UNKNOWN) & (column(history, "kind") == Kind.WRITE)
        rows = np.flatnonzero(fate)
        pairs = zip(column(history, "session")[rows].tolist(), column(history, "cxid")[rows].tolist(), strict=True)
        found += [(history.sessions[session], cxid) for session, cxid in pairs]
    return found


def used(before: Sequence[Usage], after: Sequence[Usage], roles: Mapping[int, str], window_ns: int) -> list[ServerUse]:
    """Each server's counters over the window.

    They are read a little outside of it, while the load goes on; differences are scaled to the window's length where
    the target says when it read them.
    """
    earlier = {usage.server: usage for usage in before}
    found = []
    for usage in sorted(after, key=lambda usage: usage.server):
        first = earlier[usage.server]
        between_ns = usage.at_ns - first.at_ns
        share = window_ns / between_ns if between_ns > 0 else 1.0
        found.append(
            ServerUse(
                id=usage.server,
                role=roles[usage.server],
                cpu_s=(usage.cpu_s - first.cpu_s) * share,
                bytes_sent=round((usage.bytes_sent - first.bytes_sent) * share),
                rss_mb=usage.rss_mb,
                throttled_s=(usage.throttled_s - first.throttled_s) * share,
                frames_sent=round((usage.frames_sent - first.frames_sent) * share),
            )
        )
    return found


NETWORK_GAUGES = ("srtt_ns", "cwnd_bytes")  # how something is, not how often it happened


def network_stats(before: Sequence[Usage], after: Sequence[Usage]) -> dict[str, int]:
    """What all servers together counted of datagrams between two looks; of gauges the greatest, at the second look."""
    earlier = {usage.server: usage.network for usage in before}
    found: dict[str, int] = {}
    for usage in after:
        for name, value in usage.network.items():
            if name in NETWORK_GAUGES:
                found[name] = max(found.get(name, 0), value)
            else:
                found[name] = found.get(name, 0) + value - earlier.get(usage.server, {}).get(name, 0)
    return found


def common_digest(replicas: Sequence[ReplicaState]) -> str:
    """The digest of the replicas that are furthest ahead, in hex; empty if they have none or differ."""
    newest = max((replica.applied_zxid for replica in replicas), default=0)
    digests = {replica.digest for replica in replicas if replica.applied_zxid == newest}
    only = digests.pop() if len(digests) == 1 else None
    return "" if only is None else f"{only:x}"
