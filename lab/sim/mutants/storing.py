"""Disks: what is durable when, and what recovery makes of it."""

from collections.abc import Callable, Sequence
from typing import Any

from lab.sim.mutants.planting import Patch, mutant
from lab.storage import scan, store, writer
from lab.storage.disk import Disk
from lab.storage.log import Log
from lab.storage.store import FileStore
from lab.storage.writer import SegmentWriter
from lab.zab.constants import NO_ZXID
from lab.zab.effects import EndSnapshot, PeerEffect
from lab.zab.events import Generation, SnapshotWritten, Truncated
from lab.zab.peer import Peer
from lab.zab.zxid import Zxid

Route = Callable[[Peer, Any], list[PeerEffect]]


class _Unsynced:
    """A disk, or a file of it, whose fsyncs do nothing."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        if name in ("sync", "datasync", "sync_dir"):
            return lambda *_: None
        if name in ("open", "create"):
            return lambda path: _Unsynced(getattr(self._real, name)(path))
        return getattr(self._real, name)


@mutant("INV-9, INV-18")
def flush_without_fsync(patch: Patch) -> None:
    """The log is written and reported as flushed, but never fsynced."""
    patch(SegmentWriter, "flush", SegmentWriter.write)


TRUNCATED = """
ensemble 3
start 1 2 3
serve
client a at 3
do a create /a=1, create /b=1
hold 3 -> 1 2
do a create /z=1
crash 3
release 3 -> 1 2
serve
start 3
serve
power-fail 3
start 3
serve
"""


@mutant("Z-10, INV-18", scenario_name="F3a, then a power cut", scenario=TRUNCATED)
def truncation_not_synced(patch: Patch) -> None:
    """TRUNC cuts the log, but what it cut is there again after a power cut."""
    plain = Log.truncate

    def truncate(self: Log, zxid: Zxid) -> None:
        real, self._disk = self._disk, _Unsynced(self._disk)
        try:
            plain(self, zxid)
        finally:
            self._disk = real

    patch(Log, "truncate", truncate)


RECOVERED = """
ensemble 3
start 1 2 3
serve
client a at 3
hold disk 2
do a create /a=1
crash 2
release disk 2
start 2
serve
power-fail 2
start 2
"""


@mutant("Z-7, INV-18", scenario_name="a crash, then a power cut", scenario=RECOVERED)
def no_fsync_at_recovery(patch: Patch) -> None:
    """What recovery reads back from the page cache is voted with, and not made durable first.

    So that there is something in the page cache, frames are handed over as they come, as large ones are.
    """
    plain = scan._cut_to

    def cut_to(disk: Disk, *rest: Any) -> None:
        plain(_Unsynced(disk), *rest)

    patch(scan, "_cut_to", cut_to)
    patch(writer, "PENDING_BYTES_MAX", 0)


NEED_SNAP = """
ensemble 3
disk 1 accepted=2 current=2 log=1.1,2.1
disk 2 accepted=3 current=3 log=1.1-1.2
disk 3 accepted=3 current=3 log=1.1-1.2
start 2 3
advance 300
start 1
serve
"""


@mutant("4.3, Z-11 (ZOOKEEPER-1154)", scenario_name="Z-11", scenario=NEED_SNAP)
def truncates_to_the_nearest(patch: Patch) -> None:
    """TRUNC to a zxid that the log does not hold cuts it at the greatest one below."""
    plain = FileStore.truncate

    def truncate(self: FileStore, gen: Generation, zxid: Zxid) -> Truncated:
        nearest = self._log.previous(zxid) if self._log is not None else NO_ZXID
        return plain(self, gen, zxid if nearest == NO_ZXID else nearest)

    patch(FileStore, "truncate", truncate)


@mutant("INV-18, Z-7")
def torn_tail_takes_a_flushed_frame_along(patch: Patch) -> None:
    """Recovery cuts one segment more than is torn."""
    plain = scan._follow_chain

    def follow_chain(disk: Disk, files: Sequence[tuple[Zxid, str]], start: int, base: Zxid) -> Any:
        return plain(disk, files[:-1] if start < len(files) - 1 else files, start, base)

    patch(scan, "_follow_chain", follow_chain)
    patch(scan, "_refuse_if_flushed_behind", lambda *_: None)


TAIL = """
ensemble 3 snap_count=1000
start 1 2 3
serve
client a at 3
do a create /a=1
hold 3 -> 1 2
do a create /z=1
partition 3 / 1 2
release 3 -> 1 2
advance 3000
heal
serve
crash 3
start 3
serve
check
"""


@mutant("H-5, X-14 (ZOOKEEPER-1549)", scenario_name="a snapshot of a tail that is cut", scenario=TAIL)
def snapshot_with_an_uncommitted_tail(patch: Patch) -> None:
    """A server that looks for a leader snapshots its whole tree, and a TRUNC below that leaves the snapshot there."""
    plain_leave = Peer._leave_role

    def leave_role(self: Peer, reason: str) -> list[PeerEffect]:
        effects = plain_leave(self, reason)
        if not self._own_snapshots._under_way and self.role is None and self.last_zxid > 0:
            effects.append(self._own_snapshots.begin())
        return effects

    patch(Peer, "_leave_role", leave_role)
    patch(Peer, "_route", _keep_whatever_is_written(Peer._route))
    patch(store, "drop_newer", lambda *_: None)


def _keep_whatever_is_written(
    plain: Callable[[Peer, Any], list[PeerEffect]],
) -> Callable[[Peer, Any], list[PeerEffect]]:
    def route(self: Peer, event: Any) -> list[PeerEffect]:
        if isinstance(event, SnapshotWritten):
            self._own_snapshots.end()
            return [EndSnapshot(keep=event.ok)]
        return plain(self, event)

    return route
